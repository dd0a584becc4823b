//! References in errors: what a peer puts there is held by the error, or released.

use crate::harness::*;
use capnode::Membrane;

/// A core that has made a call, which the peer rejects with `reason`. Returns the error, and the core.
fn rejected(reason: &str) -> (Error, Endpoint) {
    let mut peer = connecting();
    let index: Cap = peer.core().index();
    let mut call = started(Box::pin(index.invoke::<()>("fail", ()).into_future()));
    peer.frames();
    peer.receive(&format!(r#"["reject",1,{reason}]"#));
    let Poll::Ready(Err(error)) = poll(&mut call) else { panic!("it is rejected") };
    (error, peer)
}

#[test]
fn an_error_holds_the_references_in_its_properties_and_no_others() {
    let (error, mut peer) = rejected(
        r#"["error","E","m",null,{"a":["export",-2],"b":[[["export",-3]]],"c":["promise",-4],"d":["pipeline",0,["x"],[]]}]"#,
    );
    let released = |peer: &mut Endpoint| {
        let mut released = peer.frames();
        released.retain(|frame| frame.starts_with(r#"["release",-"#));
        released.sort();
        released
    };
    assert_eq!(released(&mut peer), [r#"["release",-4,1]"#]);
    assert!(error.property::<Cap>("a").is_some() && error.property::<Cap>("c").is_none());
    assert_eq!(error.property::<Vec<Cap>>("b").map(|list| list.len()), Some(1));
    assert_eq!(format!("{error:?}").matches("undefined").count(), 4, "{error:?}");
    let replaced = error.clone().with_property("a", 1).unwrap();
    drop(error);
    assert_eq!(released(&mut peer), [r#"["release",-2,1]"#]);
    assert_eq!((replaced.property::<u8>("a"), replaced.property::<Vec<Cap>>("b").is_some()), (Some(1), true));
    drop(replaced);
    assert_eq!(released(&mut peer), [r#"["release",-3,1]"#]);
}

#[test]
fn errors_in_errors_take_no_stack() {
    let mut error = Error::rejected("the innermost");
    for _ in 0..100_000 {
        error = Error::rejected("outer").with_property("inner", Cap::broken(error)).unwrap();
    }
    // Each is taken across when it is looked at.
    let membrane = Membrane::new(Passing);
    let outer = membrane.wrap(Cap::broken(error));
    let Poll::Ready(Err(crossed)) = poll(&mut Box::pin(outer.invoke::<()>("any", ()).into_future())) else {
        panic!("it has failed")
    };
    let inner = crossed.property::<Cap>("inner").unwrap();
    let Poll::Ready(Err(inner)) = poll(&mut Box::pin(inner.invoke::<()>("any", ()).into_future())) else {
        panic!("it has failed")
    };
    assert!(inner.property::<Cap>("inner").is_some());
}

/// Passes all.
struct Passing;

impl capnode::Policy for Passing {}
