//! What `#[netlab::test]` and `netlab::main!()` expand to refers to these. Nothing here is stable.

pub use netlab_runtime::computed::GivesTopology;
pub use netlab_runtime::lab::Lab;
pub use netlab_runtime::linkme;
pub use netlab_runtime::registry::{
    Body, BodyResult, Flavor, FromLab, Parameter, ParameterKind, ShouldPanic, TESTS, TestDef, TestReturn,
    TopologySource, taken,
};
pub use netlab_runtime::runner::libtest::run;
pub use netlab_runtime::runner::main;
