import { parseSettings } from "../../settings/load";

/** The lines of the refusal; none if the settings are accepted. */
function refusal(input: unknown): string[] {
  try {
    parseSettings(input);
    return [];
  } catch (error) {
    expect((error as Error).constructor.name).toBe("UserError");
    return (error as Error).message.split("\n");
  }
}

/** Expects that each line names one of the settings, in order, and gives its rule. */
function expectRefused(input: unknown, ...lines: (string | RegExp)[]): void {
  expect(refusal(input)).toEqual(lines.map((line) => expect.stringMatching(line)));
}

const zone = (region: string, availabilityZone: string) => ({
  region,
  network: { subnets: [{ cidrBlock: "172.31.0.0/24", availabilityZone }] },
});

const machines = (settings: object) => ({ controlPlane: settings, workers: settings });

describe("the state of another cluster", () => {
  const inBackend = (name: string, path: string) => ({ name, backend: { path } });
  const inBucket = (name: string, key: string) => ({ name, backend: { type: "s3", bucket: "our-states", key } });

  test.each([
    inBucket("prod", "k8s/prod-eu/terraform.tfstate"),
    inBucket("eu", "k8s/prod-eu/terraform.tfstate"),
    inBucket("prod", "k8s/prod2/terraform.tfstate"),
    inBucket("prod", "k8s/preprod.tfstate"),
    inBucket("terraform", "prod/terraform.tfstate"),
    inBackend("la", "terraform.lab.tfstate"),
    inBackend("ab", "terraform.lab.tfstate"),
    inBackend("terraform", "terraform.lab.tfstate"),
    inBackend("tfstate", "terraform.lab.tfstate"),
    inBackend("prod", "states/Prod.tfstate"),
  ])("a name counts only as a whole word: %j is refused", (input) => {
    expectRefused(
      input,
      /^'backend\.(path|key)' must be a (path|key) that contains 'name', .*, between other characters than letters, digits and hyphens, because two clusters cannot share a state, got: /,
    );
  });

  test.each([
    inBucket("prod-eu", "k8s/prod-eu/terraform.tfstate"),
    inBucket("prod", "prod"),
    inBucket("prod", "k8s/prod_v2"),
    inBucket("terraform", "terraform/terraform.tfstate"),
    inBackend("lab", "terraform.lab.tfstate"),
    inBackend("terraform", "terraform.terraform.tfstate"),
    inBackend("prod", "states/prod.tfstate"),
    inBackend("prod", "prod/terraform.tfstate"),
  ])("%j is accepted", (input) => expect(refusal(input)).toEqual([]));
});

test.each([
  ".cloud/prod.tfstate",
  ".cloud/states/prod.tfstate",
  ".Cloud/prod.tfstate",
  "./.cloud/prod.tfstate",
  "a/../.cloud/prod.tfstate",
  ".cloud//prod.tfstate",
  "cdktf.out/prod.tfstate",
  "./cdktf.out/prod.tfstate",
  "node_modules/prod.tfstate",
  "x/../node_modules/prod.tfstate",
  ".git/prod.tfstate",
  ".GIT/prod.tfstate",
  "./.git/prod.tfstate",
])("a state in a folder that programs delete is refused: %s", (path) => {
  expectRefused(
    { name: "prod", backend: { path } },
    /^'backend\.path' must be a path .* outside cdktf\.out, node_modules, \.cloud and \.git, got: /,
  );
});

test.each([
  ["us-east-1", "us-east-1-bos-1a"],
  ["us-west-2", "us-west-2-lax-1b"],
  ["ap-northeast-1", "ap-northeast-1-tpe-1a"],
  ["us-east-1", "us-east-1-wl1-bos-wlz-1"],
  ["eu-central-1", "eu-central-1-wl1-ber-wlz-1"],
  ["us-east-1", "use1-az1"],
])("a zone in which there is no network load balancer is refused: %s, %s", (region, availabilityZone) => {
  const allowed =
    "an availability zone such as eu-central-1a, and no Local Zone or Wavelength Zone, because a network load balancer needs a zone of the region itself";
  expectRefused(
    { ...machines({ instanceType: "t3.micro" }), ...zone(region, availabilityZone) },
    `'network.subnets.0.availabilityZone' must be ${allowed}, got: "${availabilityZone}"`,
  );
});

describe("the processor of a machine", () => {
  test.each([
    "t4g.small",
    "a1.medium",
    "m7gd.large",
    "c6gn.xlarge",
    "im4gn.large",
    "g5g.xlarge",
    "m8g.metal-24xl",
    "is4gen.medium",
    "x2gd.medium",
  ])("%s needs an image for Arm", (instanceType) => {
    const rule = `an instance type with an x86_64 processor, because images are looked up for x86_64: ${instanceType} has an Arm processor and needs 'image.id', got: "${instanceType}"`;
    expect(refusal(machines({ instanceType }))).toEqual([
      `'controlPlane.instanceType' must be ${rule}`,
      `'workers.instanceType' must be ${rule}`,
    ]);
    expect(refusal({ ...machines({ instanceType }), image: { id: "ami-0123456789abcdef0" } })).toEqual([]);
  });

  test.each([
    "g4dn.xlarge",
    "m5.metal",
    "gr6.4xlarge",
    "c7i-flex.large",
    "u-6tb1.metal",
    "t3a.small",
    "p5en.48xlarge",
    "hpc6a.48xlarge",
  ])("%s is x86_64", (instanceType) => expect(refusal(machines({ instanceType }))).toEqual([]));

  test.each(["mac1.metal", "mac2-m2pro.metal", "mac-m4.metal"])("%s runs macOS only", (instanceType) => {
    const image = { id: "ami-0123456789abcdef0" };
    expectRefused(
      { workers: { instanceType }, image },
      /^'workers.instanceType' must be an instance type that runs Linux/,
    );
  });

  test("a pattern for images for Arm finds none for x86_64", () => {
    const namePattern = "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-arm64-server-*";
    expectRefused(
      { image: { namePattern } },
      /^'image.namePattern' must be a pattern without arm64, because images are looked up for x86_64, got: /,
    );
  });

  test("the type of machines that do not exist does not matter", () => {
    expect(refusal({ workers: { count: 0, instanceType: "t4g.small" } })).toEqual([]);
  });
});

test.each(["10.32.0.0/30", "10.32.0.0/31", "10.32.0.0/32"])(
  "a service network that API servers refuse: %s",
  (cidrBlock) => {
    expectRefused(
      { serviceNetwork: { cidrBlock } },
      /^'serviceNetwork.cidrBlock' must be an IPv4 CIDR of \/12 to \/29 /,
    );
  },
);

describe("tags", () => {
  const many = (count: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, index) => [`team-${index}`, "x"]));

  test("at most 48", () => {
    expect(refusal({ tags: many(48) })).toEqual([]);
    for (const count of [49, 60, 1000]) {
      expect(refusal({ tags: many(count) })).toEqual([
        `'tags' must be an object of at most 48 tags, because AWS allows 50 for a resource and this program adds Name and Cluster, got: ${count}`,
      ]);
    }
  });

  test.each([
    ["\u212B", "\u00C5"],
    ["\uF900", "\u8C48"],
    ["\u1F71", "\u03AC"],
    ["\u212Aind", "Kind"],
  ])("keys that are equal after Unicode normalization: %j and %j", (one, other) => {
    expectRefused(
      { tags: { [one]: "a", [other]: "b" } },
      /^'tags\..*' must be different from 'tags\..*' after Unicode normalization \(NFC\), which Terraform does, got: /,
    );
  });

  test.each(["tags", "workers", "backend"])("a key __proto__ in %s", (group) => {
    const input = JSON.parse(`{"${group}":{"__proto__":"x"}}`);
    expect(refusal(input)).toEqual([
      `'${group}.__proto__' must be another key: JavaScript reserves this one, got: "__proto__"`,
    ]);
  });

  test("a key __proto__ beside the groups, and in a list", () => {
    expect(refusal(JSON.parse(`{"__proto__":{"name":"x"}}`))).toEqual([
      `'__proto__' must be another key: JavaScript reserves this one, got: "__proto__"`,
    ]);
    expectRefused(
      JSON.parse(`{"network":{"subnets":[{"__proto__":{}}]}}`),
      /^'network.subnets.0.__proto__' must be another key/,
    );
  });

  test.each(["constructor", "toString", "hasOwnProperty"])(
    "a key that all objects have is a key like others: %s",
    (key) => {
      expect(refusal({ tags: { [key]: "x" } })).toEqual([]);
    },
  );

  test.each(["aws:team", "AWS:x"])("a value with the prefix that AWS reserves: %s", (value) => {
    expectRefused(
      { tags: { team: value } },
      /^'tags.team' must be at most 256 letters, digits, spaces and .*, without the prefix aws:, got: /,
    );
  });
});

test.each([
  "constructor",
  "toString",
  "valueOf",
  "hasOwnProperty",
  "isPrototypeOf",
  "propertyIsEnumerable",
  "toLocaleString",
])("a name that all objects of JavaScript have is refused: %s", (name) => {
  expect(refusal({ name })).toEqual([
    `'name' must be a name other than ${name}, which cdktf cannot give to a stack, got: "${name}"`,
  ]);
});

describe("text that Terraform or a reader would take for something else", () => {
  test.each([
    ["a list token of cdktf", "#{TfToken[TOKEN.1]}"],
    ["a string token of cdktf", "$" + "{TfToken[TOKEN.1]}"],
    ["a map token of cdktf", "&{TfToken[TOKEN.1]}"],
    ["another list token", "#{Token[a.1]}"],
    ["a template", "$" + "{path.cwd}"],
    ["a template directive", "%{if true}"],
    ["a lone surrogate", "Lon\ud800don"],
    ["a lone low surrogate", "Lon\udc00don"],
    ["a right-to-left override", "Lon\u202edon"],
    ["an isolate", "Lon\u2066don"],
    ["a zero-width space", "Lon\u200bdon"],
    ["a byte order mark", "\ufeffLondon"],
    ["a soft hyphen", "Lon\u00addon"],
    ["a Hangul filler", "Lon\u3164don"],
    ["a variation selector", "London\ufe0f"],
    ["a character that replaces bytes which are not UTF-8", "L\ufffdndon"],
    ["a control character of ISO 8859", "Lon\u0085don"],
    ["a private character", "Lon\ue000don"],
    ["a line separator", "Lon\u2028don"],
  ])("%s in a subject", (_name, value) => {
    const [line = ""] = refusal({ pki: { subject: { locality: value } } });
    expect(line).toMatch(
      /^'pki.subject.locality' must be 1 to 64 visible characters, none of them a backslash, and without \$\{, %\{, #\{ and &\{, got: /,
    );
    expect(line).toMatch(/^[^\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}\p{DI}]*$/u);
  });

  test.each(["\u202e", "\u200b", "\u3164", "\ud800", "\u0085"])("invisible characters in a tag: %j", (character) => {
    for (const tags of [{ [`a${character}`]: "x" }, { a: `x${character}` }]) {
      const [line = ""] = refusal({ tags });
      expect(line).toMatch(/^'tags\.\S+' must be /);
      expect(line).toMatch(/^[^\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{DI}]*$/u);
    }
  });

  test.each(["Größe", "São Paulo", "東京", "Baden-Württemberg", "L'Aquila", "\u{1F600}", "100% {a} #1 & $2"])(
    "%s is a subject",
    (locality) => {
      expect(refusal({ pki: { subject: { locality } } })).toEqual([]);
    },
  );
});

describe("networks that no machine can use", () => {
  const RANGES = "outside 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16 and 224.0.0.0/3";
  const vpc = (cidrBlock: string, subnet: string) => ({ network: { cidrBlock, subnets: [{ cidrBlock: subnet }] } });

  test.each(["0.1.0.0/16", "127.0.0.0/16", "169.254.0.0/16", "224.0.0.0/16", "240.0.0.0/16", "255.255.0.0/16"])(
    "%s",
    (cidrBlock) => {
      const [vpcLine] = refusal(vpc(cidrBlock, cidrBlock.replace("/16", "/24")));
      expect(vpcLine).toBe(
        `'network.cidrBlock' must be an IPv4 CIDR of /16 to /28 without host bits, such as 172.31.0.0/16, ${RANGES}, got: "${cidrBlock}"`,
      );
      expectRefused({ podNetwork: { cidrBlock } }, new RegExp(`^'podNetwork.cidrBlock' must be .*, ${RANGES}, got: `));
      expectRefused(
        { serviceNetwork: { cidrBlock } },
        new RegExp(`^'serviceNetwork.cidrBlock' must be .*, ${RANGES}, got: `),
      );
    },
  );

  test("a network that contains such a range", () => {
    expectRefused({ podNetwork: { cidrBlock: "168.0.0.0/8" } });
    expectRefused({ podNetwork: { cidrBlock: "169.0.0.0/8" } }, /^'podNetwork.cidrBlock' must be /);
  });

  test("the last addresses of all", () => {
    const lines = refusal(vpc("255.255.255.240/28", "255.255.255.240/28"));
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(/^'network.cidrBlock' must be /);
  });
});

describe("the root disk", () => {
  test.each(["controlPlane", "workers"])("a magnetic disk of %s has at most 1024 GiB", (group) => {
    expect(refusal({ [group]: { rootVolume: { type: "standard", sizeGiB: 1024 } } })).toEqual([]);
    expect(refusal({ [group]: { rootVolume: { type: "standard", sizeGiB: 1025 } } })).toEqual([
      `'${group}.rootVolume.sizeGiB' must be at most 1024 when 'rootVolume.type' is standard, got: 1025`,
    ]);
  });
});

test.each([
  "a..b",
  "192.168.5.4",
  "xn--bucket",
  "sthree-bucket",
  "bucket-s3alias",
  "bucket--ol-s3",
  "bucket--x-s3",
  "a.mrap",
])("a bucket name that S3 refuses: %s", (bucket) => {
  expectRefused({ backend: { type: "s3", bucket } }, /^'backend.bucket' must be the name of an S3 bucket: /);
});

describe("values that are nested deeply", () => {
  const nested = (open: string, close: string, inner = "") =>
    JSON.parse(open.repeat(5000) + inner + close.repeat(5000));
  const lists = nested("[", "]");
  const objects = nested('{"a":', "}", "1");

  test.each<[string, unknown]>([
    ["for all settings", lists],
    ["in the name", { name: lists }],
    ["for a group", { workers: lists }],
    ["in a group", { workers: objects }],
    ["beside the groups", { a: objects }],
    ["in tags", { tags: objects }],
    ["in a tag", { tags: { a: lists } }],
    ["in a list", { network: { subnets: lists } }],
    ["in an element of a list", { network: { subnets: [objects] } }],
    ["in a list of CIDRs", { access: { ssh: lists } }],
  ])("%s", (_name, input) => {
    const lines = refusal(input);
    expect(lines.length).toBeGreaterThan(0);
    for (const line of lines) expect(line.length).toBeLessThan(600);
  });
});

describe("instance types that a region does not have", () => {
  const rule = (region: string, family: string, type: string) =>
    `must be an instance type that ${region} has, such as t3.micro: the family ${family} is not in that region, got: "${type}"`;

  test.each(["eu-north-1", "ap-east-1", "af-south-1", "il-central-1", "us-gov-east-1"])(
    "%s and the default type",
    (region) => {
      expect(refusal({ region })).toEqual([
        `'controlPlane.instanceType' ${rule(region, "t2", "t2.micro")}`,
        `'workers.instanceType' ${rule(region, "t2", "t2.micro")}`,
      ]);
      expect(refusal({ region, ...machines({ instanceType: "t3.micro" }) })).toEqual([]);
      expect(refusal({ region, controlPlane: { instanceType: "t3.micro" }, workers: { count: 0 } })).toEqual([]);
    },
  );

  test("another old family, also with an image", () => {
    const image = { id: "ami-0123456789abcdef0" };
    expect(refusal({ region: "me-south-1", ...machines({ instanceType: "m4.large" }), image })).toEqual([
      `'controlPlane.instanceType' ${rule("me-south-1", "m4", "m4.large")}`,
      `'workers.instanceType' ${rule("me-south-1", "m4", "m4.large")}`,
    ]);
  });

  test.each(["eu-central-1", "us-east-1", "us-gov-west-1", "cn-north-1", "mx-central-1"])(
    "%s takes the default type",
    (region) => {
      expect(refusal({ region })).toEqual([]);
    },
  );
});

test.each([
  ["us-iso-east-1", "aws-iso"],
  ["us-isob-east-1", "aws-iso-b"],
  ["eusc-de-east-1", "aws-eusc"],
])("%s needs the id of an image", (region, partition) => {
  expect(refusal({ region })).toEqual([
    `'image.id' must be set in ${region}: Canonical's account in the partition ${partition} is not known, got: nothing`,
  ]);
  expect(refusal({ region, image: { id: "ami-0123456789abcdef0" } })).toEqual([]);
});
