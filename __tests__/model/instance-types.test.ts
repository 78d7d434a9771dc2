import { instanceFamily, isArm, isMac, KUBERNETES_INSTANCE_TYPE, smallMemory } from "../../model/instance-types";

test.each([
  "a1.large",
  "t4g.small",
  "m7gd.xlarge",
  "c6gn.medium",
  "im4gn.large",
  "is4gen.large",
  "g5g.xlarge",
  "m8g-flex.large",
])("%s has an Arm processor", (type) => expect(isArm(type)).toBe(true));

test.each([
  "t3.small",
  "g4dn.xlarge",
  "gr6.4xlarge",
  "m7i-flex.large",
  "u-6tb1.metal",
  "mac2.metal",
  "p4de.24xlarge",
  "trn1.2xlarge",
])("%s has none", (type) => expect(isArm(type)).toBe(false));

test("machines of mac types run macOS", () => {
  expect(["mac1.metal", "mac-m4pro.metal", "m5.metal"].map(isMac)).toEqual([true, true, false]);
});

test.each([
  ["t2.nano", 0.5],
  ["t4g.micro", 1],
  ["m1.small", 1.7],
])("%s has %d GiB", (type, gib) => expect(smallMemory(type)).toBe(gib));

test.each(["t2.small", KUBERNETES_INSTANCE_TYPE, "a1.medium", "c6g.medium", "new7.pico", "toString"])(
  "%s has 2 GiB or is not known",
  (type) => expect(smallMemory(type)).toBeUndefined(),
);

test("the family is the part before the dot", () => {
  expect(instanceFamily("c7i-flex.large")).toBe("c7i-flex");
});
