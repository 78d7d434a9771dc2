import { argumentsOf } from "../../cloud/terraform-json";
import { UbuntuImage, type UbuntuImageProps } from "../../constructs/index";
import { synthesizeConstructs } from "../../testing/synthesize";

function lookup(props: UbuntuImageProps) {
  const json = synthesizeConstructs((scope) => {
    new UbuntuImage(scope, "image", props);
  });
  const [block, ...others] = Object.values(json.data?.aws_ami ?? {});
  expect(others).toEqual([]);
  return argumentsOf(block ?? {});
}

test("looks up Canonical's newest image of a release, x86_64 on EBS", () => {
  expect(lookup({ release: "noble" })).toEqual({
    owners: ["099720109477"],
    most_recent: true,
    filter: [
      { name: "root-device-type", values: ["ebs"] },
      { name: "architecture", values: ["x86_64"] },
      { name: "name", values: ["ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-*"] },
    ],
  });
});

test.each<[UbuntuImageProps, string]>([
  [{ release: "focal" }, "ubuntu/images/hvm-ssd/ubuntu-focal-20.04-amd64-server-*"],
  [{ release: "jammy" }, "ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-*"],
  [{ release: "noble" }, "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-*"],
  [
    { namePattern: "ubuntu/images/hvm-ssd/ubuntu-xenial-16.04-amd64-server-*" },
    "ubuntu/images/hvm-ssd/ubuntu-xenial-16.04-amd64-server-*",
  ],
])("%p is looked up by its name pattern", (props, name) => {
  expect(lookup(props).filter[2]).toEqual({ name: "name", values: [name] });
});

test.each([
  ["us-gov-west-1", "513442679011"],
  ["us-gov-east-1", "513442679011"],
  ["cn-north-1", "837727238323"],
  ["cn-northwest-1", "837727238323"],
  ["ap-south-2", "099720109477"],
])("in %s, Canonical's account is %s", (region, owner) => {
  expect(lookup({ region, release: "noble" }).owners).toEqual([owner]);
});

test("includeDeprecated finds deprecated images too", () => {
  expect(lookup({ release: "focal", includeDeprecated: true }).include_deprecated).toBe(true);
});

test.each<[string, UbuntuImageProps, string]>([
  ["neither a release nor a pattern", {}, "'release' must be one of focal, jammy, noble, got: nothing"],
  [
    "a release and a pattern",
    { release: "noble", namePattern: "ubuntu-*" },
    `'release' must be omitted when 'namePattern' is set, got: "noble"`,
  ],
  [
    "an unknown release",
    { release: "xenial" as "noble" },
    `'release' must be one of focal, jammy, noble, got: "xenial"`,
  ],
  [
    "a release with the name of a property of every object",
    { release: "constructor" as "noble" },
    `'release' must be one of focal, jammy, noble, got: "constructor"`,
  ],
  [
    "a region in a partition in which Canonical's account is not known",
    { region: "us-iso-east-1", release: "noble" },
    `'region' must be a region in a partition in which Canonical's account is known, got: "us-iso-east-1"`,
  ],
  [
    "a malformed region",
    { region: "Frankfurt", release: "noble" },
    `'region' must be an AWS region such as eu-central-1, got: "Frankfurt"`,
  ],
  [
    "a pattern with a space",
    { namePattern: "ubuntu *" },
    `'namePattern' must be an image name of 3 to 128 characters without spaces, in which * and ? are wildcards, got: "ubuntu *"`,
  ],
])("%s is refused", (_name, props, message) => {
  expect(() => lookup(props)).toThrow(new Error(message));
});
