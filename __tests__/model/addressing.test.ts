import {
  addressSlug,
  contains,
  ec2Hostname,
  hostAddress,
  internalDomain,
  isAddress,
  isCidr,
  isPrivate,
  nodePlace,
  overlaps,
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
