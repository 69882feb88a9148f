//! Every form of `#[netlab::test]`, once. Compiled into two targets: `attribute`, which has the standard harness,
//! and `attribute_runner`, which has netlab's.

use netlab::prelude::*;
use netlab::{Diagnostics, Topology};
use tokio::runtime::{Handle, RuntimeFlavor};

const TWO_NODES: &str = "net lan; node left lan; node right lan";

fn helper_beside_the_test() -> u32 {
    7
}

mod functions {
    #[netlab::test]
    fn plain() {}

    #[netlab::test]
    fn with_a_result() -> netlab::Result {
        let number: u32 = "7".parse()?;
        assert_eq!(number, super::helper_beside_the_test());
        Ok(())
    }

    #[netlab::test]
    fn with_a_result_of_another_kind() -> Result<(), std::num::ParseIntError> {
        "7".parse::<u32>().map(drop)
    }

    #[netlab::test]
    async fn asynchronous() {
        tokio::task::yield_now().await;
    }

    #[netlab::test]
    async fn asynchronous_with_a_result() -> netlab::Result {
        tokio::task::yield_now().await;
        Ok(())
    }

    #[netlab::test]
    #[should_panic(expected = "never comes back")]
    fn without_return() -> ! {
        panic!("never comes back");
    }

    #[netlab::test]
    pub(crate) fn r#match() {}
}

mod attributes {
    #[netlab::test]
    #[should_panic]
    fn panics() {
        panic!("with any message");
    }

    #[netlab::test]
    #[should_panic(expected = "a part")]
    async fn panics_with_a_message() {
        panic!("the message has a part that is expected");
    }

    #[netlab::test]
    #[should_panic = "a part"]
    fn panics_with_a_message_in_the_old_form() {
        panic!("the message has a part that is expected");
    }

    #[netlab::test]
    #[ignore]
    fn ignored() {
        panic!("ran, though it is ignored");
    }

    #[netlab::test]
    #[ignore = "because it is told to be"]
    async fn ignored_with_a_reason() {
        panic!("ran, though it is ignored");
    }

    /// The documentation of a test.
    #[netlab::test]
    #[expect(unused_variables, reason = "the test is that an expectation about the body is met in the body")]
    fn expects_what_its_body_does() {
        let unused = 7;
    }

    #[netlab::test]
    #[cfg(not(target_os = "linux"))]
    fn not_here() {
        compile_error!("conditions come before the attribute");
    }
}

mod arguments {
    use super::*;

    #[netlab::test(crate = ::netlab, timeout = "30s", serial = "arguments")]
    fn all_of_a_plain_function() {}

    #[netlab::test]
    async fn current_thread_unless_told() {
        assert_eq!(Handle::current().runtime_flavor(), RuntimeFlavor::CurrentThread);
    }

    #[netlab::test(flavor = "current_thread")]
    async fn current_thread() {
        assert_eq!(Handle::current().runtime_flavor(), RuntimeFlavor::CurrentThread);
    }

    #[netlab::test(flavor = "multi_thread")]
    async fn multi_thread() {
        assert_eq!(Handle::current().runtime_flavor(), RuntimeFlavor::MultiThread);
    }

    #[netlab::test(flavor = "multi_thread", worker_threads = 3)]
    async fn three_threads() {
        assert_eq!(Handle::current().metrics().num_workers(), 3);
    }
}

mod topologies {
    use super::*;

    fn two_nodes() -> Topology {
        Topology::parse(TWO_NODES, "two nodes").expect("it is right")
    }

    fn two_nodes_if_right() -> Result<Topology, Diagnostics> {
        Topology::parse(TWO_NODES, "two nodes")
    }

    fn star(leaves: usize) -> Topology {
        let text = format!("net lan; node leaf[{leaves}] lan");
        Topology::parse(&text, "star").expect("it is right")
    }

    #[netlab::test]
    fn the_host_alone(lab: Lab, host: Node) {
        assert_eq!(host.name(), "host");
        assert_eq!(names(&lab), ["host"]);
    }

    #[netlab::test(topology = "net lan; node left lan; node right lan")]
    fn text(lab: Lab) {
        assert_eq!(names(&lab), ["host", "left", "right"]);
    }

    #[netlab::test(topology = "tests/topologies/two_servers.topo")]
    fn file(ns1: Node, ns2: Node) {
        assert_eq!([ns1.name(), ns2.name()], ["ns1", "ns2"]);
    }

    #[netlab::test(topology = TWO_NODES)]
    fn constant(left: Node) {
        assert_eq!(left.name(), "left");
    }

    #[netlab::test(topology = two_nodes)]
    fn function(left: Node, right: Node) {
        assert_eq!([left.name(), right.name()], ["left", "right"]);
    }

    #[netlab::test(topology = two_nodes_if_right)]
    fn function_with_a_result(right: Node) {
        assert_eq!(right.name(), "right");
    }

    #[netlab::test(topology = star(3))]
    fn call(leaf: [Node; 3]) {
        assert_eq!(leaf.each_ref().map(Node::name), ["leaf1", "leaf2", "leaf3"]);
    }

    fn names(lab: &Lab) -> Vec<String> {
        lab.nodes().iter().map(|node| node.name().to_owned()).collect()
    }
}

mod parameters {
    use super::*;

    const SERVERS: usize = 2;

    type Servers = [Node; SERVERS];

    #[netlab::test(topology = "
        net  lan
        net  up-stream
        node client   lan up-stream
        node web[2]   lan
        node two-words lan
        link client web1
    ")]
    #[expect(clippy::too_many_arguments, reason = "one of each kind")]
    fn of_every_kind(
        anything: Lab,
        host: Node,
        client: Node,
        web: [Node; 2],
        web2: Node,
        two_words: Node,
        lan: Net,
        up_stream: Net,
        client_web1: Link,
    ) {
        assert_eq!(anything.nodes().len(), 5);
        assert_eq!(host.name(), "host");
        assert_eq!(client.name(), "client");
        assert_eq!(web.each_ref().map(Node::name), ["web1", "web2"]);
        assert_eq!(web2.name(), "web2");
        assert_eq!(two_words.name(), "two-words");
        assert_eq!(lan.name(), "lan");
        assert_eq!(up_stream.name(), "up-stream");
        assert_eq!(client_web1.name(), "client-web1");
    }

    #[netlab::test(topology = "net lan; node web[2] lan")]
    fn array_as_a_vec(web: Vec<Node>) {
        assert_eq!(web.iter().map(Node::name).collect::<Vec<_>>(), ["web1", "web2"]);
    }

    #[netlab::test(topology = "net lan; node web[2] lan")]
    fn array_of_a_constant_length(web: [Node; SERVERS]) {
        assert_eq!(web.len(), 2);
    }

    #[netlab::test(topology = "net lan; node web[2] lan")]
    fn behind_an_alias(web: Servers) {
        assert_eq!(web.len(), 2);
    }

    #[netlab::test(topology = "net lan; node client lan; node web[2] lan")]
    fn unused(_client: Node, _web: [Node; 2], _lab: Lab) {}

    #[netlab::test(topology = "net lan; node client lan")]
    fn changed(mut client: Node, host: Node) {
        assert_eq!(client.name(), "client");
        client = host;
        assert_eq!(client.name(), "host");
    }

    #[netlab::test(topology = "net lan; node client lan; node server lan")]
    async fn of_an_asynchronous_function(client: Node, server: Node) {
        tokio::task::yield_now().await;
        assert_eq!([client.name(), server.name()], ["client", "server"]);
    }
}

/// Tests that `macro_rules` writes: what it passes on comes in invisible brackets.
mod written_by_a_macro {
    use super::*;

    macro_rules! lab_test {
        ($name:ident, $topology:expr, $timeout:literal, $count:literal, $ty:ty) => {
            #[netlab::test(topology = $topology, timeout = $timeout, flavor = "multi_thread", worker_threads = $count)]
            async fn $name(web: [$ty; $count]) {
                assert_eq!(web.len(), $count);
            }
        };
    }

    lab_test!(of_two, "net lan; node web[2] lan", "10s", 2, Node);
    lab_test!(of_three, TWO_NODES_AND_ONE, "10s", 3, Node);

    const TWO_NODES_AND_ONE: &str = "net lan; node web[3] lan";
}
