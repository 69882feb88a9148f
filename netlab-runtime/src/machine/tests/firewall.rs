//! The machine's firewall, with each kind of `iptables` there is.

use netlab_topology::plan::{Action, Family, Hook, Iptables, Match, Op, Place, Step, Table};

use super::super::firewall::{Firewall, Program, remove_rule};
use super::scratch::{Both, has, not_tried, scratch, sh};

const KINDS: [&str; 2] = ["nft", "legacy"];

/// A firewall as Docker and ufw make it.
fn docker_and_ufw(kind: &str) {
    for program in [format!("iptables-{kind}"), format!("ip6tables-{kind}")] {
        sh(&format!(
            "{program} -P FORWARD DROP; {program} -N DOCKER-USER; {program} -A FORWARD -j DOCKER-USER; {program} -A DOCKER-USER -j RETURN
             {program} -P INPUT DROP; {program} -N ufw-user-input; {program} -A INPUT -j ufw-user-input
             {program} -A ufw-user-input -p tcp --dport 22 -j ACCEPT
             {program} -t nat -A POSTROUTING -o docker0 -j MASQUERADE"
        ));
    }
}

/// All rules of a kind.
fn rules(kind: &str) -> String {
    sh(&format!("for p in iptables ip6tables; do for t in filter nat; do $p-{kind} -t $t -S; done; done"))
}

/// Has `iptables` be the program of a kind: scratch machines have `/run/bin` first on the path.
fn choose(kind: &str) {
    sh(&format!(
        "mkdir -p /run/bin; for p in iptables ip6tables; do
         ln -sf $(command -v $p-{kind}) /run/bin/$p; done"
    ));
}

fn each_kind(work: fn(&str)) {
    if !KINDS
        .iter()
        .all(|kind| has(&format!("iptables-{kind}")) || has(&format!("/usr/sbin/iptables-{kind}")))
    {
        return not_tried("`iptables-nft` and `iptables-legacy` are not here (Debian's package `iptables`)");
    }
    for kind in KINDS {
        choose(kind);
        docker_and_ufw(kind);
        work(kind);
    }
}

fn steps() -> Vec<Step> {
    let mut steps = Vec::new();
    for family in [Family::V4, Family::V6] {
        let (net, addr) = match family {
            Family::V4 => ("192.168.1.0/24".parse().unwrap(), "192.168.1.10".parse().unwrap()),
            Family::V6 => ("2001:db8::/64".parse().unwrap(), "2001:db8::10".parse().unwrap()),
        };
        let dnat =
            vec![Match::ToLocalAddress, Match::DestinationPort(netlab_topology::plan::Proto::Tcp, 8080)];
        let from_lan = vec![Match::IncomingInterface(netlab_topology::IfName::new("lan").unwrap())];
        for (table, hook, matches, action) in [
            (Table::Nat, Hook::Postrouting, vec![Match::Source(net)], Action::Masquerade),
            (Table::Nat, Hook::Prerouting, dnat.clone(), Action::Dnat { addr, port: 80 }),
            (Table::Nat, Hook::Output, dnat, Action::Dnat { addr, port: 80 }),
            (Table::Filter, Hook::Forward, from_lan.clone(), Action::Accept),
            (Table::Filter, Hook::Input, from_lan, Action::Accept),
        ] {
            for change in [
                Iptables::AddChain { family, table, hook },
                Iptables::AddRule { family, table, hook, matches, action },
            ] {
                steps.push(Step { place: Place::HOST, op: Op::Iptables(change) });
            }
        }
    }
    steps
}

fn change(both: &mut Both, steps: &[Step]) {
    for step in steps {
        let Op::Iptables(change) = &step.op else { unreachable!() };
        both.record(&[step]);
        both.machine.firewall().change(change).unwrap();
    }
}

fn begin() -> Both {
    let mut both = Both::begin();
    both.bind("node host real").unwrap();
    both
}

#[test]
fn chains_are_jumped_to_from_the_top_and_removed_whole() {
    scratch("machine::tests::firewall::chains_are_jumped_to_from_the_top_and_removed_whole", || {
        each_kind(|kind| {
            let before = rules(kind);
            let mut both = begin();
            change(&mut both, &steps());
            let during = rules(kind);
            for hook in [Hook::Postrouting, Hook::Prerouting, Hook::Output, Hook::Forward, Hook::Input] {
                let chain = both.machine.firewall().chain(hook);
                let built_in = hook.name().to_uppercase();
                let first: Vec<_> =
                    during.lines().filter(|rule| rule.starts_with(&format!("-A {built_in} "))).collect();
                assert!(first.contains(&format!("-A {built_in} -j {chain}").as_str()), "{kind}: {during}");
                if built_in == "FORWARD" {
                    assert!(first[0].contains(&chain), "{kind}: before Docker's: {during}");
                }
            }
            assert_eq!(both.end(), []);
            assert_eq!(rules(kind), before, "{kind}");
        });
    });
}

#[test]
fn what_others_put_there_is_left() {
    scratch("machine::tests::firewall::what_others_put_there_is_left", || {
        each_kind(|kind| {
            let steps = steps();
            let mut both = begin();
            change(&mut both, &steps);
            let chain = both.machine.firewall().chain(Hook::Forward);
            let input = both.machine.firewall().chain(Hook::Input);
            sh(&format!(
                "iptables-{kind} -A {chain} -s 10.99.0.0/16 -j DROP; iptables-{kind} -A DOCKER-USER -j {input}"
            ));
            let left = both.end();
            assert_eq!(left.len(), 2, "{kind}: {left:?}");
            assert!(left.iter().all(|left| !left.again), "{left:?}");
            assert!(left.iter().any(|left| left.why.contains("somebody else put `-A")), "{kind}: {left:?}");
            assert!(
                left.iter().any(|left| left.why.contains("somebody else jumps to it")),
                "{kind}: {left:?}"
            );
            let after = rules(kind);
            assert!(
                after.contains("10.99.0.0/16") && after.contains(&format!("-A FORWARD -j {chain}")),
                "{after}"
            );
            assert!(after.contains(&format!("-N {input}")), "{after}");
        });
    });
}

#[test]
fn a_node_has_chains_of_its_own() {
    scratch("machine::tests::firewall::a_node_has_chains_of_its_own", || {
        each_kind(|kind| {
            for step in steps() {
                let Op::Iptables(change) = &step.op else { unreachable!() };
                Firewall::OfANode.change(change).unwrap();
            }
            assert!(rules(kind).contains("-A NETLAB-POSTROUTING -s 192.168.1.0/24 -j MASQUERADE"), "{kind}");
        });
    });
}

#[test]
fn the_kind_is_what_iptables_is() {
    scratch("machine::tests::firewall::the_kind_is_what_iptables_is", || {
        each_kind(|kind| {
            for family in [Family::V4, Family::V6] {
                let program = Program::find(family).unwrap().to_string();
                assert!(program == format!("{}-{kind}", Iptables::program(family)), "{program}");
            }
        });
    });
}

/// It says nothing then: neither which kind it is, nor that a rule is not there.
#[test]
fn an_iptables_that_is_killed_is_an_error() {
    scratch("machine::tests::firewall::an_iptables_that_is_killed_is_an_error", || {
        let be = |cases: &str| {
            sh(&format!(
                r#"mkdir -p /run/bin; cd /run/bin; rm -f iptables iptables-nft
                printf '%s\n' '#!/bin/sh' 'case "$*" in {cases} esac' 'kill -KILL $$' >iptables
                chmod 755 iptables; cp iptables iptables-nft"#
            ));
        };
        be(r#"--version) exec echo "iptables v1.8.9 (nf_tables)";; *-S*) exec echo "-N ours";;"#);
        let program = Program::find(Family::V4).unwrap();
        assert_eq!(program.to_string(), "iptables-nft");
        let error = remove_rule(&program, "nat", "ours", "-j ACCEPT").unwrap_err().to_string();
        assert_eq!(error, "`iptables-nft -t nat -C ours -j ACCEPT`: signal: 9 (SIGKILL)");
        be("");
        let error = Program::find(Family::V4).unwrap_err().to_string();
        assert!(error.contains("does not say its version") && error.contains("SIGKILL"), "{error}");
    });
}
