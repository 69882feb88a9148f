#[netlab::test]
fn over_a_type<T: Default>() {
    let _ = T::default();
}

#[netlab::test]
fn over_a_lifetime<'a>() {
    let _: &'a str = "";
}

#[netlab::test]
fn with_a_clause()
where
    u32: Copy,
{
}

fn main() {}
