//! The vectors of the standards that the documents stand on.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::proof::{hashed, written};
use super::refusal::Rule;
use super::tree::Tree;
use super::{Delegation, EddsaJcs2022, Link, ProofType, PublicKey, SecretKey, Signer, base58, target, time};

mod rules;

/// Returns what a future gives that has nothing to wait for.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

fn hex<const N: usize>(digits: &str) -> [u8; N] {
    let byte = |at: usize| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap();
    assert_eq!(digits.len(), 2 * N);
    std::array::from_fn(byte)
}

#[test]
fn signatures_are_those_of_rfc_8032() {
    let vectors = [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            &[][..],
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            &[0x72],
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
    ];
    for (seed, public, message, signature) in vectors {
        let key = SecretKey::from_seed(&hex(seed));
        assert_eq!(key.public_key().to_bytes(), hex(public));
        assert_eq!(now(key.sign(message)).unwrap(), hex(signature));
    }
}

#[test]
fn keys_are_written_as_did_key_says() {
    // Of the seeds 0, 1 and 2, in the specification of the method.
    let written = [
        "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp",
        "did:key:z6MkjchhfUsD6mmvni8mCdXHw216Xrm9bQe2mBH1P5RDjVJG",
        "did:key:z6MknGc3ocHs3zdPiJbnaaqDi58NGb4pk1Sp9WxWufuXSdxf",
    ];
    for (last, written) in written.into_iter().enumerate() {
        let mut seed = [0; 32];
        seed[31] = u8::try_from(last).unwrap();
        let key = SecretKey::from_seed(&seed).public_key();
        assert_eq!(key.to_string(), written);
        assert_eq!(written.parse::<PublicKey>().unwrap(), key);
        let json = format!("\"{written}\"");
        assert_eq!(serde_json::to_string(&key).unwrap(), json);
        assert_eq!(serde_json::from_str::<PublicKey>(&json).unwrap(), key);
        serde_json::from_str::<PublicKey>(&json.replace("did", "DID")).unwrap_err();
        for other in
            [format!("{written}1"), written.replace("did:key:z", "did:key:z1"), written.replace('z', "Z")]
        {
            assert_eq!(other.parse::<PublicKey>().unwrap_err().rule(), Rule::Key, "{other}");
        }
    }
}

#[test]
fn what_is_no_link_is_said_to_be_none_and_white_space_around_one_does_not_count() {
    let (key, at) = (SecretKey::from_seed(&[1; 32]), std::time::UNIX_EPOCH);
    let link = Delegation::new(key.public_key(), at + Duration::from_secs(60)).actions(["redeem"]);
    let link = now(link.issue("https://node.example/a", &key, at)).unwrap();
    assert_eq!(format!("\x0c {link}\r\n").parse::<Link>().unwrap(), link);
    for none in ["", "hello", "capnode:1/"] {
        let refusal = none.parse::<Link>().unwrap_err();
        assert_eq!(refusal.to_string(), "Json: it is no signed link, which begins with `{`");
    }
}

#[test]
fn base58_has_one_text_for_each_value() {
    for value in [[0; 4], [0, 0, 1, 2], [0xff; 4], [1, 0, 0, 0]] {
        let text = base58::encode(&value);
        assert_eq!(base58::decode(&text), Some(value));
        assert_eq!(base58::decode::<4>(&format!("1{text}")), None);
        assert!(value[0] > 0 || base58::decode::<4>(&text[1..]).is_none());
        assert_eq!(base58::decode::<3>(&text), None);
    }
    assert_eq!(base58::encode(b"Hello World!"), "2NEpo7TZRRrLZSi2U");
    assert_eq!(base58::decode::<4>("0OIl"), None);
}

#[test]
fn a_document_is_signed_as_eddsa_jcs_2022_says() {
    let signed = Tree::parse(include_str!("vectors/eddsa-jcs-2022.json")).unwrap();
    let proof = signed.get("proof").unwrap();
    let value = proof.get("proofValue").unwrap().as_text().unwrap();
    let options = proof.canonical_without(&["proofValue"]);
    let document = signed.canonical_without(&["proof"]);

    let secret: [u8; 34] = base58::decode("3u2en7t5LR2WtQH5PfFqMqwVHBeXouLzo6haApm8XHqvjxq").unwrap();
    let key = SecretKey::from_seed(&secret[2..].try_into().unwrap());
    let did = key.public_key().to_string();
    assert_eq!(did, "did:key:z6MkrJVnaZkeFzdQyMZu1cgjg7k1pZZ6pvBQ7XJPt4swbTQ2");
    assert_eq!(written(&now(key.sign(&hashed(&options, &document))).unwrap()), value);
    EddsaJcs2022.verify(&did, &options, &document, value).unwrap();
    let other = EddsaJcs2022.verify(&did, &options, "{}", value).unwrap_err();
    assert_eq!(other.rule(), Rule::Signature);
}

#[test]
fn keys_that_sign_for_anybody_are_refused() {
    // The neutral element and the points of order 2, 4 and 8, some in a second writing, and one beyond the prime.
    let weak = [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];
    for key in weak.map(hex) {
        let did = PublicKey::from_bytes(key).to_string();
        // R is the neutral element and s is 0, which holds for a neutral key without strictness.
        let mut signature = [0; 64];
        signature[0] = 1;
        assert!(EddsaJcs2022.verify(&did, "{}", "{}", &written(&signature)).is_err(), "{key:?}");
    }
}

#[test]
fn numbers_are_printed_as_rfc_8785_says() {
    let vectors: [(u64, &str); 22] = [
        (0x0000_0000_0000_0000, "0"),
        (0x8000_0000_0000_0000, "0"),
        (0x0000_0000_0000_0001, "5e-324"),
        (0x8000_0000_0000_0001, "-5e-324"),
        (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
        (0x4340_0000_0000_0000, "9007199254740992"),
        (0xc340_0000_0000_0000, "-9007199254740992"),
        (0x4430_0000_0000_0000, "295147905179352830000"),
        (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
        (0x44b5_2d02_c7e1_4af6, "1e+23"),
        (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
        (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
        (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
        (0x444b_1ae4_d6e2_ef50, "1e+21"),
        (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
        (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
        (0x41b3_de43_5555_5553, "333333333.3333332"),
        (0x41b3_de43_5555_5554, "333333333.33333325"),
        (0x41b3_de43_5555_5555, "333333333.3333333"),
        (0x41b3_de43_5555_5557, "333333333.33333343"),
        (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
        (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
    ];
    for (bits, printed) in vectors {
        assert_eq!(Tree::Number(f64::from_bits(bits)).canonical(), printed);
        assert_eq!(Tree::parse(printed).unwrap().canonical(), printed);
    }
}

#[test]
fn texts_are_canonical_as_rfc_8785_says() {
    let example = r#"{
        "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
        "literals": [null, true, false]
    }"#;
    let canonical = concat!(
        r#"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"#,
        r#""string":"€$\u000f\nA'B\"\\\\\"/"}"#
    );
    assert_eq!(Tree::parse(example).unwrap().canonical(), canonical);

    let keys = r#"{"\u20ac":5,"\r":1,"\ufb33":7,"1":2,"\ud83d\ude00":6,"\u0080":3,"\u00f6":4}"#;
    let sorted = "{\"\\r\":1,\"1\":2,\"\u{80}\":3,\"ö\":4,\"€\":5,\"😀\":6,\"\u{fb33}\":7}";
    assert_eq!(Tree::parse(keys).unwrap().canonical(), sorted);
}

#[test]
fn a_text_with_two_readings_is_refused() {
    let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(Tree::parse(&deep(32)).is_ok());
    let long = format!("\"{}\"", "a".repeat(64 << 10));
    for (text, rule) in [
        (r#"{"a":1,"a":1}"#, Rule::Json),
        (r#"{"a":1,"\u0061":2}"#, Rule::Json),
        (r#"["\ud83d"]"#, Rule::Json),
        (r#"["\ude00"]"#, Rule::Json),
        (r#"["\ud83d\ud83d"]"#, Rule::Json),
        (r#"["\ud83d-\ude00"]"#, Rule::Json),
        (r#"["\ud83d\n\ude00"]"#, Rule::Json),
        (r#"["\\ufffd\ud83d"]"#, Rule::Json),
        (r#"{"\ud83d":1}"#, Rule::Json),
        ("1e400", Rule::Json),
        ("[1,]", Rule::Json),
        ("[01]", Rule::Json),
        ("\u{feff}[]", Rule::Json),
        (&deep(33), Rule::Json),
        (&long, Rule::Size),
    ] {
        assert_eq!(Tree::parse(text).unwrap_err().rule(), rule, "{text}");
    }
    for text in [r#""\ud83d\ude00\ufffd""#, r#""\\ud83d""#, r#""é""#] {
        Tree::parse(text).unwrap();
    }
}

#[test]
fn a_time_has_the_one_form_that_is_in_utc() {
    for (text, millis) in [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-11-25T22:00:00Z", 1_795_644_000_000),
        ("2024-02-29T23:59:59.5Z", 1_709_251_199_500),
        ("1969-12-31T23:59:59.999999Z", -1),
        ("0000-03-01T00:00:00Z", -62_162_035_200_000),
    ] {
        assert_eq!(time::read(text), Some(millis), "{text}");
        assert_eq!(time::read(&time::write(millis)), Some(millis));
    }
    // Every day of 800 years, in order.
    let days: Vec<_> = (-146_097..146_097).map(|day| time::write(day * 86_400_000)).collect();
    assert!(days.is_sorted() && days.windows(2).all(|pair| pair[0] != pair[1]));
    assert!(days.iter().all(|day| time::read(day).is_some()));
    for text in [
        "2026-11-25T22:00:00+00:00",
        "2026-11-25t22:00:00Z",
        "2026-11-25T22:00:00z",
        "2026-11-25 22:00:00Z",
        "2026-11-25T22:00Z",
        "2026-11-25T24:00:00Z",
        "2026-11-25T23:59:60Z",
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-11-31T00:00:00Z",
        "2026-11-25T22:00:00.Z",
        "2026-11-25T22:00:00.0000000000Z",
        "+2026-11-25T22:00:00Z",
        "2026-11-25T+2:00:00Z",
        "é026-11-25T22:00:00Z",
    ] {
        assert_eq!(time::read(text), None, "{text}");
    }
}

#[test]
fn a_target_is_taken_in_the_one_way_in_which_it_can_be_written() {
    let path = target::segments("https://node.example:8443/o/a%20b/%C3%A9/.well-known").unwrap();
    assert_eq!(path, ["o", "a b", "é", ".well-known"]);
    for target in [
        "https://node.example",
        "https://node.example/",
        "https://node.example/o/",
        "https://node.example//o",
        "https://node.example/o/.",
        "https://node.example/o/../p",
        "https://node.example/o/%2e%2e/p",
        "https://node.example/o/%2E./p",
        "https://node.example/o/%252e%252e/p",
        "https://node.example/o/%2Fp",
        "https://node.example/o\\p",
        "https://node.example/o/%5Cp",
        "https://node.example/o#p",
        "https://node.example/o?p",
        "https://node.example/o&p",
        "https://node.example/o/%41",
        "https://node.example/o/%c3%a9",
        "https://node.example/o/é",
        "https://node.example/o/%FF",
        "https://node.example/o/%0A",
        "https://node.example/o/%",
        "https://node.example/o/__proto__",
        "https://Node.example/o",
        "HTTPS://node.example/o",
        "https://me@node.example/o",
        "https://nöde.example/o",
        "node.example/o",
        "://node.example/o",
        "https:///o",
        "",
    ] {
        assert_eq!(target::segments(target).unwrap_err().rule(), Rule::Target, "{target}");
    }
    let root = "urn:zcap:root:https%3A%2F%2Fnode.example%2Fo%2F7f3a";
    assert_eq!(target::root_id("https://node.example/o/7f3a"), root);
    assert_eq!(target::target_of_root(root).as_deref(), Some("https://node.example/o/7f3a"));
    assert_eq!(target::target_of_root(&root.replace("%3A", "%3a")), None);
    assert_eq!(target::target_of_root(&root.replace("%3A", ":")), None);
}

#[test]
fn a_secret_key_shows_nothing_of_itself() {
    // Of RFC 8037.
    let jwk = r#"{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let key = SecretKey::from_jwk(jwk).unwrap();
    assert_eq!(
        key.public_key().to_bytes(),
        hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    );
    assert_eq!(format!("{key:?}"), format!("SecretKey({}, ..)", key.public_key()));
    for (from, to) in
        [("OKP", "EC"), ("Ed25519", "X25519"), ("nWGx", "nWGy"), ("nWGx", "nWG"), ("\"d\"", "\"e\"")]
    {
        let refused = SecretKey::from_jwk(&jwk.replacen(from, to, 1)).unwrap_err();
        assert_eq!(refused.rule(), Rule::Key);
        assert!(!format!("{refused}{refused:?}").contains("WG"));
    }
}
