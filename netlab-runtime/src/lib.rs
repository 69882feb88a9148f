//! netlab's runtime: builds labs in the kernel, runs tests in sandboxes, reports on them.
