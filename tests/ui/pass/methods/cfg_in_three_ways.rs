//! Methods under different conditions may share a name.

use capnode_ui::run;

#[capnode::interface]
trait Machine {
    #[cfg(all())]
    async fn start(&self, n: u8) -> u8;
    #[cfg(any())]
    async fn start(&self);
    #[cfg(not(all()))]
    async fn start(&self, text: &str);
}

struct Here;

impl Machine for Here {
    async fn start(&self, n: u8) -> u8 {
        n
    }
}

fn main() {
    run(async {
        assert_eq!(MachineClient::new(Here).start(1).await.unwrap(), 1);
    });
}
