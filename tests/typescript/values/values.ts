// Made by capnode from interfaces in Rust. Do not edit.
import type { RpcTarget } from "capnweb";

export type Adjacent = { "t": "Unit" } | { "t": "Newtype", "c": number | null } | { "t": "Tuple", "c": [number, number] } | { "t": "Struct", "c": { a: number, } };

export type Binary = { bytes: Uint8Array, list: Array<number>, };

export type ByHand = { number: string, };

export type Empty = Record<symbol, never>;

export type External = "Unit" | { "Newtype": number } | { "Tuple": [number, string] } | { "Struct": { a?: number | null, } };

export type Flat = { own: number, inner: string, other?: boolean | null, };

export type Id = string;

export type Inner = { inner: string, other?: boolean | null, };

export type Internal = { "type": "first_one" } | { "type": "second", a: number, } | { "type": "third" } & Inner;

export type Kind = "first-kind" | "second";

export type Library = { ip: string, path: string, one: number, range: { start: number, end: number, }, text: string, };

export type Line = { id: number | bigint, from?: string | null, text: string, at: Date, };

export type Maps = { numbers: { [key in number]: boolean }, kinds: { [key in Extract<Kind, string | number>]?: number }, flags: { [key in "true" | "false"]?: number }, };

export type Metres = number;

export type Mistaken = { number: string, };

export type Name = string;

export type Nothing = undefined;

export type Numbers = { nan: number, infinite: number, small: number, large: number | bigint, negative: number | bigint, };

export type Open = { own: string, } & ({ [key in string]: string });

export type Outcomes = { good: { Ok : number } | { Err : string }, bad: { Ok : number } | { Err : string }, done: { Ok : undefined } | { Err : string }, };

export type Page<T> = { items: Array<T>, next?: number | null, };

export type Pair = [number, string];

export type References = { seat: Seat, seats: Array<Seat>, double: ((a: number) => Promise<number>), maybe?: Seat | null, };

export type Renamed = { firstName: string, "last-name": string, };

export type Sparse = { list?: Array<number>, option?: number | null, rest: number, };

export type Tagged = { "kind": "Tagged", a: number, };

export type Tree = { name: string, children: Array<Tree>, };

export type Units = { unit: undefined, option?: undefined | null, list: Array<undefined>, nothing: Nothing, };

export type Untagged = number | string | { a: number, } | Array<number>;

export interface Seat extends RpcTarget {
  say(text: string): Promise<void>;
}

export interface Values extends RpcTarget {
  getUnit(): Promise<void>;
  putUnit(value: undefined): Promise<boolean>;
  getBoolean(): Promise<boolean>;
  putBoolean(value: boolean): Promise<boolean>;
  getChar(): Promise<string>;
  putChar(value: string): Promise<boolean>;
  getText(): Promise<string>;
  putText(value: string): Promise<boolean>;
  getSmall(): Promise<number>;
  putSmall(value: number): Promise<boolean>;
  getInteger(): Promise<number>;
  putInteger(value: number): Promise<boolean>;
  getLarge(): Promise<number | bigint>;
  putLarge(value: number | bigint): Promise<boolean>;
  getSmallLarge(): Promise<number | bigint>;
  putSmallLarge(value: number | bigint): Promise<boolean>;
  getNegative(): Promise<number | bigint>;
  putNegative(value: number | bigint): Promise<boolean>;
  getFloat(): Promise<number>;
  putFloat(value: number): Promise<boolean>;
  getNan(): Promise<number>;
  putNan(value: number): Promise<boolean>;
  getBig(): Promise<bigint>;
  putBig(value: bigint): Promise<boolean>;
  getBytes(): Promise<Uint8Array>;
  putBytes(value: Uint8Array): Promise<boolean>;
  getByteList(): Promise<number[]>;
  putByteList(value: number[]): Promise<boolean>;
  getDate(): Promise<Date>;
  putDate(value: Date): Promise<boolean>;
  getUrl(): Promise<URL>;
  putUrl(value: URL): Promise<boolean>;
  getSome(): Promise<number | null>;
  putSome(value?: number | null): Promise<boolean>;
  getNone(): Promise<number | null>;
  putNone(value?: number | null): Promise<boolean>;
  getOptionOfUnit(): Promise<undefined | null>;
  putOptionOfUnit(value?: undefined | null): Promise<boolean>;
  getOptions(): Promise<(string | null)[]>;
  putOptions(value: (string | null)[]): Promise<boolean>;
  getDeque(): Promise<number[]>;
  putDeque(value: number[]): Promise<boolean>;
  getSet(): Promise<string[]>;
  putSet(value: string[]): Promise<boolean>;
  getTuple(): Promise<[number, string, boolean | null]>;
  putTuple(value: [number, string, boolean | null]): Promise<boolean>;
  getArray(): Promise<[number, number, number]>;
  putArray(value: [number, number, number]): Promise<boolean>;
  getMap(): Promise<Record<string, number>>;
  putMap(value: Record<string, number>): Promise<boolean>;
  getNumberMap(): Promise<Record<number, number>>;
  putNumberMap(value: Record<number, number>): Promise<boolean>;
  getKindMap(): Promise<{ [key in Extract<Kind, string | number>]?: number }>;
  putKindMap(value: { [key in Extract<Kind, string | number>]?: number }): Promise<boolean>;
  getNothing(): Promise<Nothing>;
  putNothing(value: Nothing): Promise<boolean>;
  getEmpty(): Promise<Empty>;
  putEmpty(value: Empty): Promise<boolean>;
  getName(): Promise<Name>;
  putName(value: Name): Promise<boolean>;
  getPair(): Promise<Pair>;
  putPair(value: Pair): Promise<boolean>;
  getLine(): Promise<Line>;
  putLine(value: Line): Promise<boolean>;
  getTree(): Promise<Tree>;
  putTree(value: Tree): Promise<boolean>;
  getPage(): Promise<Page<Line>>;
  putPage(value: Page<Line>): Promise<boolean>;
  getRenamed(): Promise<Renamed>;
  putRenamed(value: Renamed): Promise<boolean>;
  getUnits(): Promise<Units>;
  putUnits(value: Units): Promise<boolean>;
  getSparse(): Promise<Sparse>;
  putSparse(value: Sparse): Promise<boolean>;
  getFlat(): Promise<Flat>;
  putFlat(value: Flat): Promise<boolean>;
  getOpen(): Promise<Open>;
  putOpen(value: Open): Promise<boolean>;
  getBinary(): Promise<Binary>;
  putBinary(value: Binary): Promise<boolean>;
  getNumbers(): Promise<Numbers>;
  putNumbers(value: Numbers): Promise<boolean>;
  getOutcomes(): Promise<Outcomes>;
  putOutcomes(value: Outcomes): Promise<boolean>;
  getLibrary(): Promise<Library>;
  putLibrary(value: Library): Promise<boolean>;
  getMaps(): Promise<Maps>;
  putMaps(value: Maps): Promise<boolean>;
  getMetres(): Promise<Metres>;
  putMetres(value: Metres): Promise<boolean>;
  getId(): Promise<Id>;
  putId(value: Id): Promise<boolean>;
  getByHand(): Promise<ByHand>;
  putByHand(value: ByHand): Promise<boolean>;
  getExternals(): Promise<External[]>;
  putExternals(value: External[]): Promise<boolean>;
  getInternals(): Promise<Internal[]>;
  putInternals(value: Internal[]): Promise<boolean>;
  getAdjacents(): Promise<Adjacent[]>;
  putAdjacents(value: Adjacent[]): Promise<boolean>;
  getUntagged(): Promise<Untagged[]>;
  putUntagged(value: Untagged[]): Promise<boolean>;
  getTagged(): Promise<Tagged>;
  putTagged(value: Tagged): Promise<boolean>;
  getReferences(): Promise<References>;
  putReferences(value: References): Promise<boolean>;
  getMistaken(): Promise<Mistaken>;
  putMistaken(value: Mistaken): Promise<boolean>;
}
