import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { UserError } from "../../model/user-error";
import { compare, type Document } from "../../review/compare";
import { findingsOf } from "../../review/findings";
import { renderPage } from "../../review/page";
import { readPlan } from "../../review/plan";

/** The same inputs in every run. */
const SETTINGS = { seed: 20261125, numRuns: 1500 };

const SECRET = "planted-secret-7f3a";
const KEY = `-----BEGIN RSA PRIVATE KEY-----\n${SECRET}\n-----END RSA PRIVATE KEY-----\n`;

/** Where a plan can have a secret: marked as sensitive, or a private key. */
const secret = fc.constantFrom(KEY, Buffer.from(KEY).toString("base64"), `key: ${KEY}`);
const name = fc.constantFrom(
  "a",
  "tags",
  "cidr_ipv4",
  "user_data",
  "constructor",
  "__proto__",
  "root_block_device",
  "//",
  "x.y",
);
const value = fc.letrec((tie) => ({
  any: fc.oneof(
    { depthSize: "small" },
    fc.constantFrom(
      null,
      true,
      1,
      "",
      "text",
      "0.0.0.0/0",
      "a\r\nb",
      "<!-- x",
      "`|`",
      "\u202e",
      "$" + "{aws_vpc.a.id}",
    ),
    secret,
    fc.array(tie("any"), { maxLength: 3 }),
    fc.dictionary(name, tie("any"), { maxKeys: 3 }),
  ),
})).any;
const values = fc.dictionary(name, value, { maxKeys: 4 });
const marks = fc.letrec((tie) => ({
  any: fc.oneof(
    { depthSize: "small" },
    fc.constantFrom(true, false, null),
    fc.array(tie("any"), { maxLength: 3 }),
    fc.dictionary(name, tie("any"), { maxKeys: 3 }),
  ),
})).any;

const change = fc.record({
  actions: fc.constantFrom(
    ["no-op"],
    ["create"],
    ["delete"],
    ["update"],
    ["delete", "create"],
    ["create", "delete"],
    ["forget"],
    ["read"],
  ),
  before: fc.option(values),
  after: fc.option(values),
  after_unknown: marks,
  before_sensitive: marks,
  after_sensitive: marks,
  importing: fc.option(fc.record({ id: fc.string() })),
  replace_paths: fc.option(fc.array(fc.array(fc.oneof(name, fc.nat(3)), { maxLength: 2 }), { maxLength: 2 })),
});
const type = fc.constantFrom(
  "aws_instance",
  "aws_vpc_security_group_ingress_rule",
  "null_resource",
  "tls_cert_request",
  "x_y",
);
const address = fc
  .tuple(fc.constantFrom("", "module.m.", 'module.m["a.b"].'), type, fc.constantFrom("a", "b[0]", 'c["`"]'))
  .map((parts) => `${parts[0]}${parts[1]}.${parts[2]}`);
const plan = fc.record(
  {
    format_version: fc.constant("1.2"),
    complete: fc.boolean(),
    resource_changes: fc.array(fc.record({ address, mode: fc.constantFrom("managed", "data"), change }), {
      maxLength: 4,
    }),
    output_changes: fc.dictionary(name, change, { maxKeys: 2 }),
    planned_values: fc.constant({}),
    configuration: fc.constant({
      root_module: { resources: [{ address: "null_resource.a", expressions: { triggers: {} } }] },
    }),
  },
  { requiredKeys: ["format_version", "planned_values"] },
);

/** Reads and draws a plan. @returns everything that a program prints of it; a {@link UserError}'s message if it is refused */
function printed(json: string): string {
  try {
    const changes = readPlan(json);
    const { before: _before, after: _after, ...shown } = changes;
    const page = renderPage(changes);
    expect(page).not.toContain("<!--");
    return page + JSON.stringify({ ...shown, findings: findingsOf(changes) });
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    expect(error.message).not.toContain("\n");
    return error.message;
  }
}

test("random plans are drawn, without a planted key", () => {
  fc.assert(
    fc.property(plan, (random) => {
      const text = printed(JSON.stringify(random));
      expect(text).not.toContain(SECRET);
      expect(text).not.toContain(Buffer.from(KEY).toString("base64").slice(40, 70));
    }),
    SETTINGS,
  );
});

test("random plans with a part replaced are drawn or refused in one line", () => {
  fc.assert(
    fc.property(plan, fc.nat(), value, (random, position, other) => {
      const text = JSON.stringify(random);
      const places = [...text.matchAll(/(?<=[:[,])(?="|\[|\{|true|false|null|\d)/g)].map(({ index }) => index);
      const at = places[position % places.length] ?? 0;
      // Often no JSON any more, and often a value of another type.
      printed(
        text.slice(0, at) +
          JSON.stringify(other) +
          text.slice(at).replace(/^("[^"]*"|\d+|true|false|null|\[\]|\{\})/, ""),
      );
    }),
    SETTINGS,
  );
});

const block = fc.dictionary(fc.constantFrom("a", "tags", "lifecycle", "x.y", "//", "[0]"), value, { maxKeys: 3 });
const section = fc.dictionary(type, fc.dictionary(fc.constantFrom("a", "b"), block, { maxKeys: 2 }), { maxKeys: 2 });
const document = fc.record(
  {
    resource: section,
    data: section,
    locals: values,
    output: fc.dictionary(name, fc.record({ value }), { maxKeys: 2 }),
  },
  { requiredKeys: [] },
);

/** A document without what Terraform ignores: cdktf's notes, and sections and types without blocks. */
function essence(each: Document): unknown {
  const blocks = (part: unknown) =>
    Object.entries((part ?? {}) as Record<string, Record<string, Record<string, unknown>>>).flatMap(([one, byName]) =>
      Object.entries(byName).map(([other, { "//": _notes, ...rest }]) => [one, other, rest]),
    );
  return [blocks(each.resource), blocks(each.data), each.locals ?? {}, each.output ?? {}].map((part) =>
    JSON.parse(JSON.stringify(part)),
  );
}

test("a page says that nothing changes exactly when two documents are equal", () => {
  fc.assert(
    fc.property(document, document, fc.boolean(), (one, another, isSame) => {
      const [before, after] = [one, isSame ? one : another].map((each) => JSON.parse(JSON.stringify(each))) as [
        Document,
        Document,
      ];
      const isEqual = isDeepStrictEqual(essence(before), essence(after));
      const page = renderPage(compare(before, after));
      expect(page.includes("**Nothing changes.**")).toBe(isEqual);
    }),
    SETTINGS,
  );
});
