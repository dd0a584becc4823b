//! The options of a method's run stand beside it, in one attribute or several.

use capnode_ui::run;

#[capnode::interface]
pub trait Disk {
    #[capnode(no_cancel)]
    async fn write(&self, bytes: &[u8]) -> usize;
    #[capnode(blocking)]
    async fn read(&self) -> Vec<u8>;
    #[capnode(blocking, no_cancel)]
    async fn sync(&self);
    #[capnode(property)]
    #[capnode(blocking, name = "free")]
    async fn free_space(&self) -> u64;
}

struct Memory;

impl Disk for Memory {
    async fn write(&self, bytes: &[u8]) -> usize {
        bytes.len()
    }

    async fn read(&self) -> Vec<u8> {
        vec![1]
    }

    async fn sync(&self) {}

    async fn free_space(&self) -> u64 {
        5
    }
}

fn main() {
    run(async {
        let disk = DiskClient::new(Memory);
        assert_eq!(disk.write(&[1, 2]).await.unwrap(), 2);
        assert_eq!(disk.read().await.unwrap(), [1]);
        disk.sync().await.unwrap();
        assert_eq!(disk.free_space().await.unwrap(), 5);
    });
}
