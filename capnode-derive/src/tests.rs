use super::*;
#[test]
fn show() {
    let s = std::fs::read_to_string("/tmp/in.rs").unwrap();
    for item in syn::parse_file(&s).unwrap().items {
        let name = match &item { Item::Trait(t) => (t.ident.to_string(), t.items.len()), _ => unreachable!() };
        let e = expand_interface(TokenStream::new(), quote!(#item));
        let mut f: syn::File = syn::parse2(e).unwrap();
        f.items.remove(0);
        let t = prettyplease::unparse(&f);
        let n = t.lines().filter(|l| !l.trim().starts_with("///")).count();
        if std::env::var("SHOW").is_ok() { println!("{t}"); }
        println!("{name:?} {n} {}", n as f64 / name.1 as f64);
    }
}
