//! Every byte of every recorded message, damaged: deleted, flipped, doubled, or the last that comes.
//!
//! A core takes the place of either side of a recording, gets the other side's messages with one of them damaged, and
//! then the rest. No damage may make anything panic or hang; the session either goes on and answers an honest call
//! right, or has ended with an error of a kind that says why; then nothing is left of it, and another session of the
//! same objects answers right.

mod bytes;
mod mutation;
mod offers;
mod play;
mod scenario;
mod sweep;

use capnode::Dialect;
use capnode_tests::recordings::Side;

use crate::sweep::sweep;

capnode_tests::tests! {
    a_capn_web_server_survives_any_damaged_byte: sweep(Dialect::CapnWeb, Side::B);
    a_capn_web_client_survives_any_damaged_byte: sweep(Dialect::CapnWeb, Side::A);
    a_capnode_server_survives_any_damaged_byte: sweep(Dialect::Capnode, Side::B);
    a_capnode_client_survives_any_damaged_byte: sweep(Dialect::Capnode, Side::A);
    a_q_connection_server_survives_any_damaged_byte: sweep(Dialect::Q, Side::B);
    a_q_connection_client_survives_any_damaged_byte: sweep(Dialect::Q, Side::A);
    a_byte_stream_survives_damage_between_its_messages: bytes::sweep();
}
