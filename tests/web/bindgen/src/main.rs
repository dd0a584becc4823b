//! Writes the JavaScript that loads a program of wasm: `bindgen INPUT.wasm FOLDER`.

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [input, folder] = arguments.as_slice() else {
        eprintln!("usage: bindgen INPUT.wasm FOLDER");
        std::process::exit(2);
    };
    let mut bindgen = wasm_bindgen_cli_support::Bindgen::new();
    let made =
        bindgen.input_path(input).web(true).and_then(|bindgen| bindgen.typescript(false).generate(folder));
    if let Err(error) = made {
        eprintln!("{error:#}");
        std::process::exit(1);
    }
}
