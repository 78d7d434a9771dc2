import {
  addressSlug,
  contains,
  coveredShare,
  ec2Hostname,
  hostAddress,
  internalDomain,
  isAddress,
  isCidr,
  isPrivate,
  isUsable,
  nodePlace,
  overlaps,
  reservedRanges,
  subnetwork,
  subnetworkCount,
  usableHostNumbers,
} from "../../model/addressing";

test.each(["172.31.0.0/16", "0.0.0.0/0", "203.0.113.7/32"])("%s is a CIDR", (text) => {
  expect(isCidr(text)).toBe(true);
});

test.each([
  "",
  "172.31.0.0",
  "172.31.0.1/16",
  "172.31.0.0/33",
  "172.31.0.0/16/16",
  "172.31.0.0/16 ",
  "0xac.31.0.0/16",
  "172.31.0/16",
  "172.31.000.0/16",
  "172.31.0.0/016",
  " 172.31.0.0/16",
  "fd00::/8",
  "256.0.0.0/8",
])("%p is not a CIDR", (text) => {
  expect(isCidr(text)).toBe(false);
});

test("an address has no prefix", () => {
  expect([isAddress("172.31.0.10"), isAddress("172.31.0.10/32"), isAddress("172.31.0"), isAddress("a.b.c.d")]).toEqual([
    true,
    false,
    false,
    false,
  ]);
});

test("CIDRs contain and overlap each other", () => {
  expect(contains("172.31.0.0/16", "172.31.0.0/24")).toBe(true);
  expect(contains("172.31.0.0/24", "172.31.0.0/16")).toBe(false);
  expect(contains("172.31.0.0/16", "172.32.0.0/24")).toBe(false);
  expect(overlaps("172.31.0.0/24", "172.31.0.0/16")).toBe(true);
  expect(overlaps("172.31.0.0/24", "172.31.1.0/24")).toBe(false);
});

test("private ranges are those of RFC 1918 and RFC 6598", () => {
  expect(isPrivate("172.31.0.0/16")).toBe(true);
  expect(isPrivate("172.32.0.0/24")).toBe(false);
  expect(isPrivate("172.16.0.0/11")).toBe(false);
  expect(isPrivate("10.96.0.0/12")).toBe(true);
  expect(isPrivate("192.168.1.0/24")).toBe(true);
  expect(isPrivate("100.64.0.0/16")).toBe(true);
});

test("a host number gives an address, also above 255", () => {
  expect(hostAddress("172.31.0.0/24", 10)).toBe("172.31.0.10");
  expect(hostAddress("172.31.0.0/16", 300)).toBe("172.31.1.44");
});

test("EC2 reserves four addresses at the start of a subnet and one at the end", () => {
  expect(usableHostNumbers("172.31.0.0/24")).toEqual({ min: 4, max: 254 });
  expect(usableHostNumbers("172.31.0.0/28")).toEqual({ min: 4, max: 14 });
});

test("a network is divided into smaller networks", () => {
  expect(subnetwork("172.20.0.0/16", 24, 2)).toBe("172.20.2.0/24");
  expect(subnetwork("172.20.0.0/15", 24, 256)).toBe("172.21.0.0/24");
  expect(subnetworkCount("172.20.0.0/16", 24)).toBe(256);
  expect(subnetworkCount("172.20.0.0/24", 24)).toBe(1);
  expect(subnetworkCount("172.20.0.0/25", 24)).toBe(0);
});

test("nodes are assigned to subnets by position", () => {
  const cidrs = ["10.0.0.0/24", "10.0.1.0/24"];
  expect([0, 1, 2].map((index) => nodePlace(cidrs, 10, index))).toEqual([
    { subnetIndex: 0, hostNumber: 10, address: "10.0.0.10" },
    { subnetIndex: 1, hostNumber: 11, address: "10.0.1.11" },
    { subnetIndex: 0, hostNumber: 12, address: "10.0.0.12" },
  ]);
});

test("host names, domains and slugs have EC2's format", () => {
  expect(ec2Hostname("172.31.0.10")).toBe("ip-172-31-0-10");
  expect(internalDomain("eu-central-1")).toBe("eu-central-1.compute.internal");
  expect(internalDomain("us-east-1")).toBe("ec2.internal");
  expect(addressSlug("172.31.0.0/24")).toBe("172-31-0-0-24");
});

test("ranges that are no network of machines", () => {
  for (const cidr of [
    "0.0.0.0/16",
    "127.1.0.0/16",
    "169.254.0.0/24",
    "224.0.0.0/8",
    "255.255.255.240/28",
    "0.0.0.0/0",
  ]) {
    expect([cidr, isUsable(cidr)]).toEqual([cidr, false]);
  }
  for (const cidr of ["1.0.0.0/16", "126.0.0.0/8", "169.253.0.0/16", "223.255.255.0/24"]) {
    expect([cidr, isUsable(cidr)]).toEqual([cidr, true]);
  }
});

test("the share of addresses counts each address once", () => {
  expect(coveredShare([])).toBe(0);
  expect(coveredShare(["0.0.0.0/0", "10.0.0.0/8"])).toBe(1);
  expect(coveredShare(["0.0.0.0/1", "0.0.0.0/1", "64.0.0.0/2"])).toBe(1 / 2);
  expect(coveredShare(["0.0.0.0/2", "64.0.0.0/2", "128.0.0.0/2", "192.0.0.0/2"])).toBe(1);
  expect(coveredShare(["10.0.0.0/8", "10.1.0.0/16", "11.0.0.0/8"])).toBe(1 / 128);
});

describe("reserved ranges of a subnet", () => {
  const addresses = (prefix: string, first: number, count: number) =>
    Array.from({ length: count }, (_, index) => `${prefix}.${first + index}`);

  test.each([
    ["172.31.0.0/16", ["172.31.0.0/17", "172.31.128.0/18", "172.31.192.0/19"]],
    ["172.31.0.0/24", ["172.31.0.0/25", "172.31.0.128/26", "172.31.0.192/27"]],
    ["10.0.0.128/25", ["10.0.0.128/26", "10.0.0.192/27"]],
    ["10.0.0.64/26", ["10.0.0.64/27"]],
    ["10.0.0.32/27", []],
    ["10.0.0.16/28", []],
  ])("%s without machines", (subnet, ranges) => {
    expect(reservedRanges(subnet, [])).toEqual(ranges);
  });

  test("machines in these ranges add none, others one each", () => {
    const ranges = reservedRanges("172.31.0.0/24", []);
    expect(reservedRanges("172.31.0.0/24", addresses("172.31.0", 10, 200))).toEqual(ranges);
    expect(reservedRanges("172.31.0.0/24", addresses("172.31.0", 222, 4))).toEqual([
      ...ranges,
      "172.31.0.224/32",
      "172.31.0.225/32",
    ]);
    expect(reservedRanges("10.0.0.16/28", addresses("10.0.0", 20, 3))).toEqual([
      "10.0.0.20/32",
      "10.0.0.21/32",
      "10.0.0.22/32",
    ]);
  });

  test("eight addresses are left for the load balancer", () => {
    const last = (count: number) => addresses("172.31.0", 224, count);
    expect(reservedRanges("172.31.0.0/24", last(23))).toHaveLength(3 + 23);
    expect(reservedRanges("172.31.0.0/24", last(24))).toEqual(last(24).map((address) => `${address}/32`));
  });

  test("every machine is in exactly one range, and ranges do not overlap", () => {
    for (const prefix of [24, 25, 26, 27, 28]) {
      const subnet = `172.31.0.0/${prefix}`;
      const usable = 2 ** (32 - prefix) - 5;
      for (let count = 0; count + 8 <= usable; count++) {
        for (const first of new Set([4, 4 + usable - count])) {
          const machines = addresses("172.31.0", first, count);
          // How many ranges each address of the /24 is in.
          const held = new Array<number>(256).fill(0);
          for (const range of reservedRanges(subnet, machines)) {
            const [, begin = 0, length = 32] = (/\.(\d+)\/(\d+)$/.exec(range) ?? []).map(Number);
            for (let i = 0; i < 2 ** (32 - length); i++) held[begin + i] = (held[begin + i] ?? 0) + 1;
          }
          expect(Math.max(...held)).toBeLessThanOrEqual(1);
          expect(machines.filter((address) => held[Number(address.split(".")[3])] !== 1)).toEqual([]);
          expect(held.slice(0, 2 ** (32 - prefix)).filter((ranges) => ranges === 0).length).toBeGreaterThanOrEqual(8);
        }
      }
    }
  });
});
