//! netlab: a test harness that gives every test its own network.
