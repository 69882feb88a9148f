//! The examples of the language's description are topologies.

use netlab_topology::Topology;

#[test]
fn every_example_can_be_planned() {
    let text = include_str!("../LANGUAGE.md");
    let examples: Vec<_> =
        text.split("```topology\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(examples.len(), text.matches("```topology").count());
    assert!(examples.len() >= 3, "the description has lost its examples");
    for example in examples {
        let plan = Topology::parse(example, "LANGUAGE.md").and_then(|topology| topology.plan());
        plan.unwrap_or_else(|mistakes| panic!("{mistakes}"));
    }
}
