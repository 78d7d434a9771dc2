import fc from "fast-check";
import { addressesOf, resourcesOf, type TerraformJson } from "../../cloud/terraform-json";
import { contains, overlaps } from "../../model/addressing";
import { UserError } from "../../model/user-error";
import { parseSettings } from "../../settings/load";
import type { ClusterSettings } from "../../settings/schema";
import { settingsWarnings } from "../../settings/warnings";
import { synthesizeCluster } from "../../testing/synthesize";

/** Each run has the same inputs. For others, and more of them: FUZZ_SEED=7 FUZZ_FACTOR=100. */
const SEED = Number(process.env.FUZZ_SEED ?? 20260101);
const runs = (numRuns: number) => ({ seed: SEED, numRuns: numRuns * Number(process.env.FUZZ_FACTOR ?? 1) });

/** Texts that a program could take for something else. */
const HOSTILE = [
  ...[
    "$" + "{path.cwd}",
    "%{if true}",
    "#{TfToken[TOKEN.1]}",
    "&{TfToken[a.1]}",
    "$" + "{TfToken[TOKEN.0]}",
    "$$",
    "{}",
  ],
  ...[
    "constructor",
    "__proto__",
    "toString",
    "hasOwnProperty",
    "",
    " ",
    "a\nb",
    "\u0000",
    "\u202e",
    "\ud800",
    "\u212b",
  ],
  ...["'", '"', "\\", "`", "$(id)", "../..", "a/b", "-", "0.0.0.0/0", "255.255.255.240/28", "-1.8881545897087827e+289"],
];

const text = fc.oneof(
  fc.constantFrom(...HOSTILE),
  fc.string({ unit: "binary", maxLength: 70 }),
  fc.string({ unit: "grapheme", minLength: 1, maxLength: 30 }),
);

/** A text that is often valid: words, and sometimes anything. */
const field = fc.oneof(
  { weight: 30, arbitrary: fc.stringMatching(/^[A-Za-z0-9äöüÉ' .,&$#%(){}-]{1,20}$/) },
  { weight: 1, arbitrary: text },
);

/** Nearly always the first. */
const mostly = <T, U>(usual: fc.Arbitrary<T>, other: fc.Arbitrary<U>): fc.Arbitrary<T | U> =>
  fc.oneof({ weight: 15, arbitrary: usual }, { weight: 1, arbitrary: other });

const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined, freq: 2 });

const cidr = (min: number, max: number, ...firsts: string[]) =>
  fc
    .tuple(fc.constantFrom(...firsts), fc.nat(255), fc.nat(255), fc.nat(255), fc.integer({ min, max }))
    .map(([first, b, c, d, prefix]) => {
      const bits = ((Number(first) << 24) | (b << 16) | (c << 8) | d) >>> 0;
      const network = prefix === 0 ? 0 : (bits & (~0 << (32 - prefix))) >>> 0;
      return `${[24, 16, 8, 0].map((shift) => (network >>> shift) & 255).join(".")}/${prefix}`;
    });

const fleet = (most: number, first: number) =>
  fc.record(
    {
      count: mostly(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 0, max: most })),
      instanceType: mostly(
        fc.constantFrom("t2.micro", "t3.small", "m5.metal"),
        fc.constantFrom("t4g.small", "mac1.metal"),
      ),
      firstHostNumber: fc.oneof(
        { weight: 8, arbitrary: fc.integer({ min: first, max: first + 30 }) },
        { weight: 4, arbitrary: fc.integer({ min: 4, max: 20 }) },
        // The last addresses of subnets.
        { weight: 3, arbitrary: fc.constantFrom(30, 62, 126, 253, 254, 1021, 1022) },
      ),
      rootVolume: fc.record(
        {
          sizeGiB: fc.integer({ min: 8, max: 1100 }),
          type: fc.constantFrom("gp2", "gp3", "standard"),
          encrypted: fc.boolean(),
        },
        { requiredKeys: [] },
      ),
    },
    { requiredKeys: [] },
  );

/** A VPC with subnets of it, in zones of the region. */
const network = fc
  .tuple(
    fc.integer({ min: 1, max: 4 }),
    mostly(fc.integer({ min: 22, max: 25 }), fc.integer({ min: 26, max: 28 })),
    fc.boolean(),
    fc.constantFrom("10.0", "172.31", "52.0"),
  )
  .map(([count, prefix, zones, start]) => ({
    cidrBlock: `${start}.0.0/16`,
    subnets: Array.from({ length: count }, (_, index) => ({
      cidrBlock: `${start}.${4 * index}.0/${prefix}`,
      ...(zones || count > 1 ? { availabilityZone: `eu-central-1${"abcdef"[index]}` } : {}),
    })),
  }));

const sources = (least: number) =>
  fc.uniqueArray(fc.oneof(fc.constant("0.0.0.0/0"), cidr(8, 32, "10", "192", "203")), {
    minLength: least,
    maxLength: 5,
  });

/** Settings that are often valid. */
const settings = fc.record(
  {
    name: mostly(
      fc.stringMatching(/^[a-z][a-z0-9-]{0,20}[a-z0-9]$/),
      fc.oneof(text, fc.constantFrom("constructor", "toString", "valueOf")),
    ),
    region: mostly(
      fc.constant("eu-central-1"),
      fc.constantFrom("us-gov-west-1", "eu-north-1", "cn-north-1", "eusc-de-east-1"),
    ),
    network,
    podNetwork: fc.record(
      { cidrBlock: mostly(cidr(12, 16, "11", "100"), cidr(8, 24, "10", "3", "172")), routed: fc.boolean() },
      { requiredKeys: [] },
    ),
    serviceNetwork: fc.record({ cidrBlock: mostly(cidr(16, 29, "12", "192"), cidr(8, 31, "10", "172", "169")) }),
    controlPlane: fleet(9, 4),
    workers: fleet(60, 26),
    copies: fc.record({ kubeconfigs: fc.boolean(), encryptionConfig: fc.boolean() }, { requiredKeys: [] }),
    image: fc.oneof(
      fc.record({ release: fc.constantFrom("focal", "jammy", "noble") }),
      fc.record({ id: fc.constant("ami-0123456789abcdef0") }),
      fc.record({ namePattern: mostly(fc.constant("ubuntu-*"), text) }),
    ),
    access: fc.record({ ssh: sources(1), api: sources(0), icmp: sources(0) }, { requiredKeys: [] }),
    pki: fc.record(
      {
        subject: fc.record(
          {
            country: fc.constantFrom("UK", "DE"),
            province: field,
            locality: field,
            organization: field,
            organizationalUnit: field,
          },
          { requiredKeys: [] },
        ),
        caValidityHours: fc.integer({ min: 10_000, max: 100_000 }),
        validityHours: fc.integer({ min: 90, max: 9000 }),
        earlyRenewalHours: fc.integer({ min: 0, max: 100 }),
      },
      { requiredKeys: [] },
    ),
    kubernetes: optional(
      fc.record(
        {
          version: mostly(fc.constantFrom("1.35.0", "1.37.2"), text),
          components: fc.record({ etcd: mostly(fc.constant("3.7.3"), text) }, { requiredKeys: [] }),
          downloads: mostly(fc.constantFrom("http://10.0.0.1", "https://mirror.example:8080/k8s"), text),
          registryMirrors: fc.dictionary(mostly(fc.constant("registry.k8s.io"), text), fc.constant("http://10.0.0.1"), {
            maxKeys: 2,
          }),
        },
        { requiredKeys: ["version"] },
      ),
    ),
    tags: fc.dictionary(
      mostly(fc.stringMatching(/^[A-Za-z0-9/ -]{1,12}$/), text),
      fc.stringMatching(/^[a-z0-9 @+=]{0,12}$/),
      { maxKeys: 4 },
    ),
    backend: mostly(
      fc.record({ type: fc.constant("s3"), bucket: fc.constant("our-states"), encrypt: fc.boolean() }),
      fc.record({ path: text }),
    ),
  },
  { requiredKeys: [] },
);

/** Values that are nested more deeply than a recursive function can follow. */
const deep = fc.constantFrom(
  ...[7000, 100_000].flatMap((levels) => [
    JSON.parse("[".repeat(levels) + "]".repeat(levels)),
    JSON.parse(`${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`),
  ]),
);

/** Settings in which one value, at any depth, is something else; and any other JSON. */
const broken = fc.oneof(
  fc.jsonValue({ maxDepth: 6 }),
  fc
    .tuple(
      settings,
      fc.nat(),
      fc.oneof(
        text,
        fc.jsonValue({ maxDepth: 3 }),
        deep,
        fc.constantFrom(-1, 1e26, 0.5, -1.8881545897087827e289, Number.MAX_SAFE_INTEGER),
      ),
      optional(fc.oneof(text, fc.constantFrom("__proto__", "constructor"))),
    )
    .map(([valid, index, value, key]) => {
      const input = JSON.parse(JSON.stringify(valid));
      const places: [Record<string, unknown>, string][] = [];
      const visit = (inner: unknown): void => {
        if (typeof inner !== "object" || inner === null) return;
        for (const name of Object.keys(inner)) {
          places.push([inner as Record<string, unknown>, name]);
          visit((inner as Record<string, unknown>)[name]);
        }
      };
      visit(input);
      const place = places[index % Math.max(places.length, 1)];
      if (place !== undefined) {
        const [parent, name] = place;
        Object.defineProperty(parent, Array.isArray(parent) ? name : (key ?? name), {
          value,
          enumerable: true,
          configurable: true,
          writable: true,
        });
      }
      return input;
    }),
);

/** The settings; undefined if they are refused in clear lines. Any other error is a fault. */
function accepted(input: unknown): ClusterSettings | undefined {
  try {
    return parseSettings(input);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    for (const line of error.message.split("\n")) {
      expect(line).toMatch(/^'[^\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]*$/u);
    }
    return undefined;
  }
}

/** The paths of all values, such as `["tags", "team"]`, as JSON. */
function pathsIn(value: unknown, path: readonly string[] = []): string[] {
  if (typeof value !== "object" || value === null) return [JSON.stringify([path, value])];
  return Object.entries(value).flatMap(([key, inner]) => pathsIn(inner, [...path, key]));
}

/** Every text in a value. */
function textsIn(value: unknown): string[] {
  if (typeof value === "string") return [value];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => (key === "//" ? [] : [key, ...textsIn(inner)]));
}

function expectInvariants(given: ClusterSettings, json: TerraformJson): void {
  const machines = Object.values(resourcesOf(json, "aws_instance"));
  expect(machines).toHaveLength(given.controlPlane.count + given.workers.count);
  const addresses = machines.map(({ private_ip }) => private_ip as string);
  expect(new Set(addresses).size).toBe(addresses.length);

  const subnets = Object.entries(resourcesOf(json, "aws_subnet"));
  for (const { private_ip, subnet_id } of machines) {
    const [name] = subnets.find(([, { cidr_block }]) => contains(cidr_block, `${private_ip}/32`)) ?? [];
    expect(subnet_id).toBe(`$\{aws_subnet.${name}.id}`);
  }

  const reservations = Object.values(resourcesOf(json, "aws_ec2_subnet_cidr_reservation"));
  const ranges = reservations.map(({ cidr_block }) => cidr_block as string);
  for (const address of addresses) expect(ranges.filter((range) => contains(range, `${address}/32`))).toHaveLength(1);
  expect(ranges.filter((range, index) => ranges.slice(0, index).some((other) => overlaps(range, other)))).toEqual([]);

  const known = new Set(addressesOf(json));
  const texts = textsIn([json.resource, json.data, json.output, json.provider]);
  const references = texts.flatMap((each) =>
    [...each.matchAll(/(?:data\.)?\b(?:aws|tls|null)_[a-z0-9_]+\.[A-Za-z0-9-]+/g)].map(([address]) => address),
  );
  expect(references.filter((address) => !known.has(address))).toEqual([]);
  expect(references.length).toBeGreaterThan(50);

  // The texts of the user arrive as they are, and Terraform and cdktf find nothing to evaluate in them.
  expect(json.provider.aws?.[0]?.default_tags).toEqual([{ tags: { ...given.tags, Cluster: given.name } }]);
  const { country, organization, ...subject } = given.pki.subject;
  for (const request of Object.values(resourcesOf(json, "tls_cert_request"))) {
    expect(request.subject[0]).toMatchObject({
      country,
      province: subject.province,
      locality: subject.locality,
      organizational_unit: subject.organizationalUnit,
    });
  }
  for (const each of [...textsIn(given.tags), ...textsIn(given.pki.subject)]) expect(each).not.toMatch(/[$%#&]\{/);
  const expressions = texts.flatMap((each) =>
    // Doubled signs are text: those of shell scripts.
    [...each.replaceAll(/\$\$\{|%%\{/g, "").matchAll(/\$\{(?:[^{}"]|"[^"]*")*\}|\$\{|%\{/g)].map(
      ([expression]) => expression,
    ),
  );
  expect(
    expressions.filter((each) => !/^\$\{(self\.public_ip|[a-z0-9]+\(|(data\.)?(aws|tls|null)_)/.test(each)),
  ).toEqual([]);
  expect(JSON.stringify(json)).not.toContain("TfToken");
}

test("any input is accepted, or refused in lines without unprintable characters", () => {
  let accepts = 0;
  fc.assert(
    fc.property(broken, (input) => {
      const given = accepted(input);
      if (given === undefined) return;
      accepts++;
      // Nothing is dropped without a word.
      const all = new Set(pathsIn(given));
      expect(pathsIn(input).filter((path) => !all.has(path))).toEqual([]);
      for (const line of settingsWarnings(given)) expect(line).toMatch(/^'[^\n]*$/);
      // Complete settings mean the same as the user's.
      expect(parseSettings(JSON.parse(JSON.stringify(given)))).toEqual(given);
    }),
    runs(3000),
  );
  expect(accepts).toBeGreaterThan(60);
});

test("accepted settings give a configuration with unique addresses, and references that lead somewhere", () => {
  let accepts = 0;
  fc.assert(
    fc.property(settings, (each) => {
      const input = JSON.parse(JSON.stringify(each));
      const given = accepted(input);
      if (given === undefined) return;
      accepts++;
      expectInvariants(given, synthesizeCluster(input));
    }),
    runs(150),
  );
  expect(accepts).toBeGreaterThan(40);
});
