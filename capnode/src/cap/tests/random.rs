//! Random graphs, against a model.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Item {
    Number(u8),
    Node(usize),
    Cap,
    List(Vec<Item>),
}

/// A value, as the items of a list or the members of a record.
#[derive(Clone, Debug)]
struct Container {
    record: bool,
    items: Vec<Item>,
}

fn items(nodes: usize, deep: bool) -> BoxedStrategy<Vec<Item>> {
    let node =
        (0..nodes.max(1)).prop_map(move |node| if nodes == 0 { Item::Number(0) } else { Item::Node(node) });
    let item = prop_oneof![1 => any::<u8>().prop_map(Item::Number), 3 => node, 1 => Just(Item::Cap)].boxed();
    let item = if deep {
        prop_oneof![4 => item, 1 => items(nodes, false).prop_map(Item::List)].boxed()
    } else {
        item
    };
    prop::collection::vec(item, 0..4).boxed()
}

fn container(nodes: usize) -> impl Strategy<Value = Container> {
    (any::<bool>(), items(nodes, true)).prop_map(|(record, items)| Container { record, items })
}

/// The root, and the nodes.
fn model() -> impl Strategy<Value = (Container, Vec<Container>)> {
    (0usize..7).prop_flat_map(|nodes| (container(nodes), prop::collection::vec(container(nodes), nodes)))
}

impl Container {
    fn text(&self, node: &mut dyn FnMut(usize) -> String, cap: &mut dyn FnMut() -> String) -> String {
        let parts: Vec<_> = self.items.iter().map(|item| item.text(node, cap)).collect();
        if !self.record {
            return format!("[[{}]]", parts.join(","));
        }
        let members: Vec<_> =
            parts.iter().enumerate().map(|(at, part)| format!("\"k{at}\":{part}")).collect();
        format!("{{{}}}", members.join(","))
    }

    fn nodes(&self) -> Vec<usize> {
        let mut found = Vec::new();
        self.text(
            &mut |node| {
                found.push(node);
                String::new()
            },
            &mut String::new,
        );
        found
    }
}

impl Item {
    fn text(&self, node: &mut dyn FnMut(usize) -> String, cap: &mut dyn FnMut() -> String) -> String {
        match self {
            Item::Number(number) => number.to_string(),
            Item::Node(index) => node(*index),
            Item::Cap => cap(),
            Item::List(items) => Container { record: false, items: items.clone() }.text(node, cap),
        }
    }
}

/// All of it as it should be sent: nodes numbered as they are met.
fn expected(root: &Container, nodes: &[Container]) -> Vec<String> {
    let (mut met, mut texts, mut caps) = (Vec::new(), Vec::new(), 0);
    let mut next = Some(root);
    while let Some(container) = next {
        texts.push(container.text(
            &mut |node| {
                let number = met.iter().position(|known| *known == node).unwrap_or_else(|| {
                    met.push(node);
                    met.len() - 1
                });
                format!("<{number}>")
            },
            &mut || {
                caps += 1;
                format!("@{}", caps - 1)
            },
        ));
        next = met.get(texts.len() - 1).map(|node| &nodes[*node]);
    }
    texts
}

/// The text without nodes, or nothing if it contains itself.
fn unfolded(container: &Container, nodes: &[Container], inside: &mut Vec<usize>) -> Option<String> {
    let mut whole = true;
    let text = container.text(
        &mut |node| {
            if inside.contains(&node) {
                whole = false;
                return String::new();
            }
            inside.push(node);
            let text = unfolded(&nodes[node], nodes, inside);
            inside.pop();
            whole &= text.is_some();
            text.unwrap_or_default()
        },
        &mut || "".to_owned(),
    );
    whole.then_some(text)
}

/// The value, with each shared one in it made anew.
#[allow(clippy::mutable_key_type)] // It is hashed by its address.
fn rebuilt(value: &Value) -> Value {
    fn all(
        value: &Value,
        graph: &mut GraphBuilder,
        made: &mut HashMap<Shared, Shared>,
        todo: &mut Vec<Shared>,
    ) -> Value {
        match value {
            Value::Shared(shared) => {
                let anew = made.entry(shared.clone()).or_insert_with(|| {
                    todo.push(shared.clone());
                    graph.node()
                });
                anew.clone().into()
            }
            Value::Array(elements) => {
                Value::Array(elements.iter().map(|value| all(value, graph, made, todo)).collect())
            }
            Value::Object(members) => Value::Object(
                members.iter().map(|(key, value)| (key.clone(), all(value, graph, made, todo))).collect(),
            ),
            other => other.clone(),
        }
    }

    let (mut graph, mut made, mut todo) = (GraphBuilder::new(), HashMap::new(), Vec::new());
    let root = all(value, &mut graph, &mut made, &mut todo);
    let top = graph.node();
    while let Some(shared) = todo.pop() {
        let value = all(&shared.get().unwrap(), &mut graph, &mut made, &mut todo);
        graph.set(&made[&shared], &value).unwrap();
    }
    graph.set(&top, &root).unwrap();
    let top = graph.finish(top).unwrap();
    shared(&top).get().unwrap()
}

proptest! {
    #[test]
    fn graphs_are_sent_as_they_came((root, nodes) in model()) {
        let mut count = 0;
        let mut source = |container: &Container| {
            container.text(&mut |node| format!("<{node}>"), &mut || {
                count += 1;
                format!("@{}", count - 1)
            })
        };
        let (root_text, node_texts) = (source(&root), nodes.iter().map(source).collect::<Vec<_>>());
        let caps: Vec<_> = (0..count).map(|_| cap()).collect();
        let body = tie(payload(&root_text, &node_texts.iter().map(String::as_str).collect::<Vec<_>>(), &caps));
        let (texts, sent_caps) = shown(&flatten(body.clone(), BYTES).unwrap());
        prop_assert_eq!(&texts, &expected(&root, &nodes));

        // As a value, as another of the same shape, and over the wire again.
        let value: Value = decode(&body).unwrap();
        for value in [&value, &rebuilt(&value)] {
            let payload = flatten(encode(value).unwrap(), BYTES).unwrap();
            prop_assert_eq!(shown(&payload), (texts.clone(), sent_caps.clone()));
            let arrived = tie(payload);
            prop_assert_eq!(shown(&flatten(arrived, BYTES).unwrap()), (texts.clone(), sent_caps.clone()));
        }

        // Without identity.
        let mut alone = Vec::new();
        match (unfolded(&root, &nodes, &mut alone), unfold(body.clone(), 64 << 20).0) {
            (Some(text), Ok(payload)) => {
                // The text in the place of a reference has no meaning.
                let (mut bare, mut written) = (String::new(), payload.text.range().start);
                for slot in &payload.refs {
                    bare.push_str(&payload.text.buffer()[written..slot.start]);
                    written = slot.end;
                }
                bare.push_str(&payload.text.buffer()[written..payload.text.range().end]);
                prop_assert_eq!(bare, text);
            }
            (None, Err(error)) => prop_assert_eq!(error.kind(), ErrorKind::Encode),
            (_, other) => prop_assert!(false, "{other:?}"),
        }
        if count == 0 {
            match (unfolded(&root, &nodes, &mut alone), decode::<serde_json::Value>(&body)) {
                (Some(text), Ok(json)) => {
                    let plain: serde_json::Value = decode(&Payload::plain(text)).unwrap();
                    prop_assert_eq!(json, plain);
                }
                (None, Err(error)) => prop_assert!(error.to_string().contains("contains itself"), "{error}"),
                (_, other) => prop_assert!(false, "{other:?}"),
            }
        }
        // A root is met as often as it is meant.
        prop_assert_eq!(root.nodes().len(), root_text.matches('<').count());
    }
}
