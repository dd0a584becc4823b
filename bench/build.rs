//! Writes tonic's client and server of a service, from what is said here: no `protoc`, no `.proto` file.

use tonic_build::manual::{Builder, Method, Service};

fn main() {
    // What a run writes into this folder is no reason to build again.
    println!("cargo::rerun-if-changed=build.rs");
    let method = |name: &str, route: &str, input: &str, output: &str| {
        Method::builder()
            .name(name)
            .route_name(route)
            .input_type(format!("crate::peers::tonic::{input}"))
            .output_type(format!("crate::peers::tonic::{output}"))
            .codec_path("tonic_prost::ProstCodec")
    };
    let service = Service::builder()
        .name("Service")
        .package("bench")
        .method(method("add", "Add", "Summands", "Sum").build())
        .method(method("echo", "Echo", "Record", "Record").build())
        .method(method("echo_bytes", "EchoBytes", "Blob", "Blob").build())
        .method(method("send_bytes", "SendBytes", "Nothing", "Blob").server_streaming().build())
        .method(method("send_numbers", "SendNumbers", "Nothing", "Sum").server_streaming().build())
        .build();
    Builder::new().compile(&[service]);
}
