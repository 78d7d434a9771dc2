import { createSocket } from "node:dgram";
import { createServer, type Socket } from "node:net";
import { type Answer, decode, encode, type OptAnswer, type Packet, type Question } from "dns-packet";

/** The names that a resolver knows, in lower case and without a dot at the end, each with its addresses. */
export type Names = ReadonlyMap<string, readonly string[]>;

/** The seconds for which clients may keep an answer, as in EC2. */
const TTL = 60;

/** The size of an answer over UDP, in bytes, if the question names none. */
const PLAIN_UDP_SIZE = 512;

/** The size of an answer over UDP that the resolver announces, in bytes. */
const UDP_SIZE = 1232;

/** The bits of a message's flags (RFC 1035). */
const FLAGS = { opcode: 0x7800, truncated: 0x200, recursionDesired: 0x100, recursionAvailable: 0x80 } as const;

/** The codes of an answer (RFC 1035). */
const CODES = { noError: 0, formatError: 1, noSuchName: 3, notImplemented: 4 } as const;

/** Names with their addresses, and for each address a name for PTR questions. */
export function namesOf(...lists: readonly Readonly<Record<string, readonly string[]>>[]): Names {
  return new Map(lists.flatMap((list) => Object.entries(list)).map(([name, addresses]) => [normal(name), addresses]));
}

/**
 * Answers a question of DNS.
 * @param query - the question, as it arrived
 * @param names - the names that exist
 * @param limit - the size of the answer in bytes @default - as the question allows over UDP
 * @returns the answer; undefined for anything that is not a question
 */
export function resolve(query: Buffer, names: Names, limit?: number): Buffer | undefined {
  try {
    const packet = decode(query);
    return packet.type === "query" ? answer(packet, names, limit) : undefined;
  } catch {
    // It cannot be read, or contains names that cannot be repeated.
    return undefined;
  }
}

function answer(query: Packet, names: Names, limit: number | undefined): Buffer {
  const edns = query.additionals?.find((record): record is OptAnswer => record.type === "OPT");
  const { code, answers } = answersTo(query, names);
  const reply = (flags: number, records: Answer[]): Buffer =>
    encode({
      type: "response",
      id: query.id,
      flags: flags | FLAGS.recursionAvailable | ((query.flags ?? 0) & FLAGS.recursionDesired) | code,
      questions: query.questions,
      answers: records,
      additionals: edns && [{ ...edns, udpPayloadSize: UDP_SIZE, flags: 0, flag_do: false, options: [] }],
    });
  const whole = reply(0, answers);
  const allowed = limit ?? Math.min(Math.max(edns?.udpPayloadSize ?? 0, PLAIN_UDP_SIZE), UDP_SIZE);
  return whole.length <= allowed ? whole : reply(FLAGS.truncated, []);
}

function answersTo({ flags = 0, questions = [] }: Packet, names: Names): { code: number; answers: Answer[] } {
  const [question] = questions;
  if (flags & FLAGS.opcode) return { code: CODES.notImplemented, answers: [] };
  if (question === undefined || questions.length > 1) return { code: CODES.formatError, answers: [] };
  const answers = recordsFor(question, names);
  return answers === undefined ? { code: CODES.noSuchName, answers: [] } : { code: CODES.noError, answers };
}

/** The records for a question; undefined if the name does not exist. A name above an existing one exists (RFC 8020). */
function recordsFor({ name, type }: Question, names: Names): Answer[] | undefined {
  const asked = normal(name);
  const addresses = names.get(asked);
  if (addresses !== undefined) {
    return type === "A" ? addresses.map((data) => ({ type, name, ttl: TTL, data })) : [];
  }
  const host = hostOf(asked, names);
  if (host !== undefined) return type === "PTR" ? [{ type, name, ttl: TTL, data: host }] : [];
  return [...names.keys()].some((other) => other.endsWith(`.${asked}`)) ? [] : undefined;
}

/** The host name for a name such as `10.0.31.172.in-addr.arpa`. */
function hostOf(name: string, names: Names): string | undefined {
  const [, reversed] = /^((?:\d+\.){3}\d+)\.in-addr\.arpa$/.exec(name) ?? [];
  const address = reversed?.split(".").reverse().join(".");
  return address && [...names].find(([, addresses]) => addresses.includes(address))?.[0];
}

function normal(name: string): string {
  return name.toLowerCase().replace(/\.$/, "");
}

/**
 * Starts a resolver that listens at an address, over UDP and TCP.
 * @param names - the names that exist now; undefined: no question is answered
 * @returns after it listens
 */
export async function listen(address: string, names: () => Names | undefined): Promise<void> {
  const udp = createSocket("udp4", (query, { address, port }) => {
    const known = names();
    const answer = known && resolve(query, known);
    if (answer) udp.send(answer, port, address);
  });
  const tcp = createServer((connection) => answerStream(connection, names));
  await Promise.all([
    new Promise<void>((resolve, reject) => udp.once("error", reject).bind(53, address, resolve)),
    new Promise<void>((resolve, reject) => tcp.once("error", reject).listen(53, address, resolve)),
  ]);
}

/** Answers the questions of a connection. Each message begins with its length in two bytes. */
function answerStream(connection: Socket, names: () => Names | undefined): void {
  let received = Buffer.alloc(0);
  connection.setTimeout(10_000, () => connection.destroy()).on("error", () => connection.destroy());
  connection.on("data", (data) => {
    received = Buffer.concat([received, data]);
    while (received.length >= 2 && received.length >= 2 + received.readUInt16BE()) {
      const length = received.readUInt16BE();
      const known = names();
      const answer = known && resolve(received.subarray(2, 2 + length), known, 0xffff);
      received = received.subarray(2 + length);
      if (answer === undefined) return connection.destroy();
      const prefix = Buffer.alloc(2);
      prefix.writeUInt16BE(answer.length);
      connection.write(Buffer.concat([prefix, answer]));
    }
  });
}
