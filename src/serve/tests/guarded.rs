//! Whom the pages are not for.

use axum::body::Body;
use axum::http::Request;
use std::os::unix::fs::symlink;

use super::scene::{HOSTILE, Scene, eventually, get, request, run, send};
use sweep_experiment::store::ControlRequest;

#[test]
fn only_requests_to_this_machine_by_its_own_pages_are_answered() {
    let scene = Scene::new();
    let router = scene.router();
    let of = |host: &str, origin: Option<&str>| {
        let mut request = Request::get("/").header("host", host);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        run(send(&router, request.body(Body::empty()).unwrap())).status.as_u16()
    };
    assert_eq!(of("localhost:8765", None), 200);
    assert_eq!(of("127.0.0.1:8765", Some("http://127.0.0.1:8765")), 200);
    assert_eq!(of("evil.example:8765", None), 421, "a name that leads here (DNS rebinding)");
    assert_eq!(of("127.0.0.1:8765", Some("http://evil.example")), 403);
    assert_eq!(of("127.0.0.1:8765", Some("http://127.0.0.1:9")), 403, "another server of this machine");
    assert_eq!(of("localhost:8765", Some("null")), 403);
    assert_eq!(run(send(&router, Request::get("/").body(Body::empty()).unwrap())).status, 421, "no host at all");
}

#[test]
fn every_answer_forbids_what_the_pages_do_not_need() {
    let scene = Scene::new();
    let router = scene.router();
    for path in ["/", "/sweeps/tiny", "/nowhere", "/sweeps/none", "/assets/live.js", "/sweeps/tiny/curves.json"] {
        let answered = run(get(&router, path));
        let policy = answered.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answered.headers["x-content-type-options"], "nosniff", "{path}");
        assert!(!answered.text.contains(" style=") && !answered.text.contains(" onclick="), "{path}");
    }
}

#[test]
fn a_token_is_demanded_and_becomes_a_cookie() {
    let token = "0123456789abcdef0123456789abcdef";
    let scene = Scene::new();
    let router = scene.guarded(Some(token), false);
    for path in ["/", "/events", "/assets/live.js", "/sweeps/tiny/trials.csv", "/?token=wrong", "/?token="] {
        assert_eq!(run(get(&router, path)).status, 401, "{path}");
    }
    let answered = run(get(&router, &format!("/sweeps/tiny?sort=mre&token={token}")));
    assert_eq!(
        (answered.status.as_u16(), answered.headers["location"].to_str().unwrap()),
        (303, "/sweeps/tiny?sort=mre")
    );
    let cookie = answered.headers["set-cookie"].to_str().unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let value = cookie.split(';').next().unwrap();
    let with = |cookie: &str| {
        Request::get("/").header("host", "localhost").header("cookie", cookie).body(Body::empty()).unwrap()
    };
    assert_eq!(run(send(&router, with(&format!("other=1; {value}")))).status, 200);
    assert_eq!(run(send(&router, with("sweep-token=0123456789abcdef0123456789abcdee"))).status, 401);
    let elsewhere = run(get(&router, &format!("//evil.example/?token={token}")));
    assert!(!elsewhere.headers.get("location").is_some_and(|to| to.to_str().unwrap().starts_with("//")));
}

#[test]
fn nothing_outside_the_folder_is_read() {
    let scene = Scene::new();
    let other = Scene::empty();
    other.sweep("private", &["secret-loss"]);
    symlink(other.path().join("private"), scene.path().join("linked")).unwrap();
    let trial = scene.store("tiny").trial("t0-seed0");
    for name in ["log.txt", "landmarks.csv"] {
        scene.store("tiny").folder().remove(format!("trials/t0-seed0/{name}")).unwrap();
        symlink(other.store("private").trial("t0-seed0").file(name), trial.file(name)).unwrap();
    }
    let router = scene.router();
    run(async {
        let page = get(&router, "/").await.text;
        assert!(page.contains("linked</code>: a link, which is not followed"), "{page}");
        for path in [
            "/sweeps/linked",
            "/sweeps/..%2Fprivate",
            "/sweeps/%2E%2E",
            "/sweeps/tiny/trials/..%2F..%2Fsecret",
            "/sweeps/tiny/trials/t0-seed0/picture?image=../../secret.png",
            "/assets/..%2Flib.rs",
        ] {
            assert_eq!(get(&router, path).await.status, 404, "{path}");
        }
        let page = get(&router, "/sweeps/tiny/trials/t0-seed0").await.text;
        assert!(page.contains("The log is empty"), "{page}");
        let refused = get(&router, "/sweeps/tiny/trials/t0-seed0/landmarks").await;
        assert!(refused.status == 500 && refused.text.contains("a link: nothing in a results folder is read"));
    });
}

#[test]
fn no_name_becomes_markup() {
    let scene = Scene::new();
    let router = scene.router();
    run(async {
        eventually(&router, "/sweeps/tiny", |page| page.contains("The answer") || page.contains("class=\"first\""))
            .await;
        for path in [
            "/",
            "/sweeps/tiny",
            "/sweeps/tiny?q=%3Cscript%3Ealert(1)%3C/script%3E",
            "/sweeps/tiny?group=configuration",
            "/sweeps/tiny?sort=%22%3E%3Cscript%3E&across=%3Cscript%3E&y=%3Cscript%3E",
            "/sweeps/tiny/definition",
            "/sweeps/tiny/trials/t1-seed1",
            "/sweeps/tiny/trials/t1-seed0?with=t0-seed0",
            "/sweeps/tiny/trials/t1-seed0/landmarks?by=landmark",
            "/sweeps/tiny/trials/%3Cscript%3E",
            "/sweeps/%3Cscript%3Ealert(1)%3C%2Fscript%3E",
            "/compare?a=tiny/t0-seed0&b=tiny/t1-seed0",
            "/compare?a=%3Cscript%3E&b=%22%3E%3Cscript%3E",
        ] {
            let page = get(&router, path).await.text;
            assert!(!page.contains("<script>") && !page.contains("<img src=x"), "{path}: {page}");
            assert!(page.contains("</html>"), "{path}: {page}");
        }
        assert!(get(&router, "/sweeps/tiny").await.text.contains("&lt;script&gt;alert(1)"), "{HOSTILE}");
    });
}

#[test]
fn orders_need_the_switch_the_token_and_our_own_page() {
    let scene = Scene::new();
    let token = "0123456789abcdef0123456789abcdef";
    let store = scene.store("tiny");
    let _running = store.lock("here").unwrap();
    let order = |origin: Option<&str>, body: &str| {
        let mut request = Request::post("/sweeps/tiny/control")
            .header("host", "localhost:1")
            .header("cookie", format!("sweep-token={token}"))
            .header("content-type", "application/x-www-form-urlencoded");
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        request.body(Body::from(body.to_owned())).unwrap()
    };
    let own = Some("http://localhost:1");
    let is_paused = || store.control().is_requested(&ControlRequest::Pause);
    let closed = scene.guarded(Some(token), false);
    assert_eq!(run(send(&closed, order(own, "order=pause"))).status, 400);
    let open = scene.guarded(Some(token), true);
    assert_eq!(run(send(&open, order(None, "order=pause"))).status, 403);
    assert_eq!(run(send(&open, order(Some("http://evil.example"), "order=pause"))).status, 403);
    assert!(!is_paused());
    run(async {
        let wait = request("/sweeps/tiny");
        let (mut parts, body) = wait.into_parts();
        parts.headers.insert("cookie", format!("sweep-token={token}").parse().unwrap());
        let page = send(&open, Request::from_parts(parts, body)).await.text;
        assert!(page.contains(r#"value="pause""#), "{page}");
        assert_eq!(send(&open, order(own, "order=pause")).await.status, 303);
        assert!(is_paused());
        assert_eq!(send(&open, order(own, "order=continue")).await.status, 303);
        assert!(!is_paused());
        assert!(send(&open, order(own, "order=stop")).await.text.contains("Stop the sweep"), "a stop is confirmed");
        assert!(!store.control().is_requested(&ControlRequest::Stop));
        assert_eq!(send(&open, order(own, "order=retry&trial=t0-seed0")).await.status, 400, "it is done");
        assert_eq!(send(&open, order(own, "order=retry&trial=t1-seed1")).await.status, 303);
        assert_eq!(store.control().retries().unwrap(), ["t1-seed1"]);
        assert_eq!(send(&open, order(own, "order=rm")).await.status, 400);
    });
}
