# What capnp-rpc is measured with. After a change:
#   cargo install capnpc && apt-get install capnproto libcapnp-dev    # or however your system has `capnp`
#   capnp compile -I/usr/include -orust:src/generated schema.capnp
@0xb8e3f0f2c7a94d51;

struct Address {
  street @0 :Text;
  city @1 :Text;
  zip @2 :UInt32;
}

struct Record {
  id @0 :UInt64;
  name @1 :Text;
  active @2 :Bool;
  balance @3 :Float64;
  tags @4 :List(Text);
  readings @5 :List(UInt32);
  addresses @6 :List(Address);
  note @7 :Text;
}

interface Function {
  call @0 (value :UInt32) -> (value :UInt32);
}

interface Item {
  id @0 () -> (id :UInt32);
  next @1 () -> (item :Item);
}

interface ByteSink {
  write @0 (bytes :Data) -> stream;
}

interface NumberSink {
  write @0 (number :UInt32) -> stream;
}

interface Service {
  add @0 (a :UInt32, b :UInt32) -> (sum :UInt32);
  echo @1 (record :Record) -> (record :Record);
  echoBytes @2 (bytes :Data) -> (bytes :Data);
  callBack @3 (increment :Function, calls :UInt32, inFlight :UInt32) -> (sum :UInt64);
  object @4 (id :UInt32) -> (item :Item);
  sendBytes @5 (sink :ByteSink) -> ();
  sendNumbers @6 (sink :NumberSink) -> ();
}
