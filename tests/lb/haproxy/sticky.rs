//! `cookie insert`: browsers keep their backends by a cookie.

use netlab::lb::{Key, LbTest, Load, Misses, Over, Traffic};
use netlab::prelude::*;

use super::{Config, HaProxy};
use crate::suite::{FALSE_ALARM, failing, serve, vips};

/// What eight browsers see who bring their cookies back.
async fn browsed(client: &Node, lb: &Node, web: &[Node], config: Config) -> netlab::Result<Traffic> {
    serve(web, Over::Http).await?;
    HaProxy::start(lb, &config).await?;
    let test = LbTest::new([client], vips()).over(Over::Http);
    let traffic = test.send(Load::requests(240).with_cookies()).await?;
    traffic.loses(Misses::none()).holds()?;
    Ok(traffic)
}

#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn browsers_stay_and_strangers_are_spread(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let config = Config::http().with("cookie lb insert indirect nocache").servers("cookie {web[*].name}");
    let browsers = browsed(&client, &lb, &web, config).await?;
    browsers.affinity(Key::Cookie).always().holds()?;
    let own = |cookie: &str, backend: &str| cookie == format!("lb={backend}");
    assert!(
        browsers
            .answers()
            .all(|(_, answer)| answer.cookie.as_deref().is_some_and(|c| own(c, &answer.backend)))
    );

    let test = LbTest::new([&client], vips()).over(Over::Http);
    let strangers = test.send(Load::requests(240)).await?;
    strangers.affinity(Key::Source).absent(3, FALSE_ALARM).holds()?;
    Ok(())
}

#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn a_cookie_that_is_missing(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let browsers = browsed(&client, &lb, &web, Config::http()).await?;
    let verdict = browsers.affinity(Key::Cookie).always();
    println!("{verdict}");
    assert_eq!(failing([verdict]), ["affinity"]);
    Ok(())
}

#[netlab::test(topology = "tests/topologies/lb.topo")]
async fn a_cookie_that_is_set_and_not_heeded(client: Node, lb: Node, web: [Node; 3]) -> netlab::Result {
    let config = Config::http().with("http-response set-header Set-Cookie lb=%s");
    let browsers = browsed(&client, &lb, &web, config).await?;
    let verdict = browsers.affinity(Key::Cookie).always();
    println!("{verdict}");
    assert_eq!(failing([verdict]), ["affinity"]);
    Ok(())
}
