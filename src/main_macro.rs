//! The entry point of a target without the standard harness.

/// Is the whole `main` of a test target with `harness = false`, or of an example that is a test: runs every
/// `#[netlab::test]` of the binary.
///
/// Under the standard harness leave it out.
///
/// `netlab::main!(first)` asks the function `first` before anything else, a `fn() -> Option<ExitCode>`: if that gives an exit
/// code, it was all there was to do. So a test binary can be a program of its own labs as well, started in a node by
/// `node.command("/proc/self/exe").arg(..)`.
#[macro_export]
macro_rules! main {
    () => {
        $crate::main!(|| ::core::option::Option::None);
    };
    ($first:expr) => {
        fn main() -> ::std::process::ExitCode {
            let first: fn() -> ::core::option::Option<::std::process::ExitCode> = $first;
            if let ::core::option::Option::Some(code) = first() {
                return code;
            }
            // `cargo test` sets `test` for a target without harness too; `cargo run` does not, and who runs an
            // example by hand wants to see what it says while it says it.
            $crate::__private::main(!::core::cfg!(test))
        }
    };
}
