//! Damage outside of messages: to the bytes between them on a byte stream, and streams that end anywhere.

use std::collections::BTreeMap;

use capnode::{Dialect, Node, transport};
use capnode_tests::panics;
use capnode_tests::recordings::{self, Line, Side, script, script::LONG, well};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::mutation::{Mutation, is_thorough};
use crate::offers::{self, IndexFactory};

/// A stream, and where its messages end.
struct Stream {
    name: String,
    dialect: Dialect,
    offer: IndexFactory,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

const RECORDED: &[(Dialect, &str)] = &[
    (Dialect::CapnWeb, "raw-lifecycle"),
    (Dialect::CapnWeb, "ws-simple-call"),
    (Dialect::Capnode, "tcp-example"),
    (Dialect::Capnode, "tcp-one-message-two-chunks"),
    (Dialect::Capnode, "tcp-trailing-whitespace"),
    (Dialect::Capnode, "tcp-two-messages-one-chunk"),
    (Dialect::Q, "returned-object-with-methods"),
];

/// The client's messages with bytes between them. Messages recorded in chunks stay as they were written.
fn stream(dialect: Dialect, name: &str, between: &str) -> Stream {
    let mut stream = Stream {
        name: format!("{name} with {between:?}"),
        dialect,
        offer: IndexFactory::of(dialect, name, Side::B),
        bytes: Vec::new(),
        ends: Vec::new(),
    };
    for line in recordings::read(dialect, name).lines {
        match line {
            Line::Frame { from: Side::A, text } => {
                stream.bytes.extend_from_slice(text.as_bytes());
                stream.ends.push(stream.bytes.len());
                stream.bytes.extend_from_slice(between.as_bytes());
            }
            Line::Event(event) if event["event"] == "chunk-sent" => {
                stream.bytes.extend_from_slice(event["text"].as_str().unwrap_or_default().as_bytes());
                stream.ends.push(stream.bytes.len());
            }
            _ => {}
        }
    }
    assert!(!stream.bytes.is_empty(), "{name} has no messages");
    stream
}

/// Messages of a peer of this library with bytes beside their text, as it writes them on a byte stream.
fn mixed() -> Stream {
    let offer = IndexFactory::of(Dialect::CapnWeb, "raw-lifecycle", Side::B);
    let name = "bytes beside the text".to_owned();
    let mut stream = Stream { name, dialect: Dialect::CapnWeb, offer, bytes: Vec::new(), ends: Vec::new() };
    stream.bytes.extend(b"[\"release\",0,0]\n[\"abilities\",\"bytes\"]\n");
    for parts in [1, 2] {
        let bytes = ["[\"bytes\",1024]"; 2][..parts].join(",");
        let text = format!(r#"["stream",["pipeline",0,["echo"],[{bytes}]]]"#);
        let lengths = [4 + text.len() + parts * 1_024, text.len()].map(|length| length as u32);
        stream.ends.push(stream.bytes.len());
        stream.bytes.push(0);
        for length in lengths {
            stream.bytes.extend(length.to_be_bytes());
            stream.ends.push(stream.bytes.len() - 2);
            stream.ends.push(stream.bytes.len());
        }
        stream.bytes.extend(text.as_bytes());
        stream.ends.push(stream.bytes.len());
        stream.bytes.extend(vec![b'x'; parts * 1_024]);
        stream.ends.push(stream.bytes.len());
    }
    stream.bytes.extend(b"[\"pull\",0]\n");
    stream
}

/// Every damage around the ends of messages, and an end of the stream at every byte.
fn harms(stream: &Stream) -> Vec<(Mutation, usize)> {
    let near = |at: usize| stream.ends.iter().any(|end| at + 1 == *end || at == *end || at == end + 1);
    let mut harms = Vec::new();
    for at in 0..stream.bytes.len() {
        harms.push((Mutation::Cut, at));
        if near(at) || is_thorough() {
            harms.extend([(Mutation::Deleted, at), (Mutation::Doubled, at)]);
            harms.extend((0..8).map(|bit| (Mutation::Flipped(bit), at)));
        }
    }
    harms
}

pub fn sweep() {
    let (mut cases, mut ends, mut failed) = (0, BTreeMap::<String, usize>::new(), Vec::new());
    let recorded = RECORDED.iter().flat_map(|(dialect, name)| {
        // Only frames of the other languages can come with nothing between them.
        let between: &[&str] = if *dialect == Dialect::CapnWeb { &["\n"] } else { &["", "\n"] };
        between.iter().map(|between| stream(*dialect, name, between))
    });
    for stream in recorded.chain([mixed()]) {
        script::run(async {
            let world = offers::world();
            let node = Node::new(stream.offer.index(&world));
            for (harm, at) in harms(&stream) {
                panics::begin(format_args!("bytes, {}, byte {at} {harm:?}", stream.name));
                cases += 1;
                match damaged(&node, &stream, (harm, at)).await {
                    Ok(end) => *ends.entry(end).or_default() += 1,
                    Err(error) => failed.push(format!("{}, {harm:?} {at}: {error}", stream.name)),
                }
            }
        });
    }
    println!("byte streams: {cases} cases, {ends:?}");
    let panics = panics::of("bytes");
    assert!(failed.is_empty() && panics.is_empty(), "{failed:#?}\n{panics:#?}");
    assert!(cases > 5_000, "only {cases}");
}

async fn damaged(node: &Node, stream: &Stream, (harm, at): (Mutation, usize)) -> Result<String, String> {
    let mut bytes = stream.bytes.clone();
    harm.apply(at, &mut bytes);
    let (mut here, there) = tokio::io::duplex(1 << 16);
    let connection = node.serve(transport::lines(there)).await.map_err(|error| error.to_string())?;
    let ended = async {
        // The node may have hung up in the middle.
        let _gone = here.write_all(&bytes).await;
        let _gone = here.shutdown().await;
        let mut answers = Vec::new();
        let _gone = here.read_to_end(&mut answers).await;
        connection.closed().await
    };
    let end = tokio::time::timeout(LONG, ended).await.map_err(|_| "the session does not end".to_owned())?;
    let tables = connection.tables();
    if (tables.imports, tables.exports, tables.calls, tables.running) != (0, 0, 0, 0) {
        return Err(format!("it leaves {tables:?}"));
    }
    well::check(&well::another(node, stream.dialect).await?).await?;
    Ok(format!("{:?}", end.kind()))
}
