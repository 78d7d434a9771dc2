import { argumentsOf, resourcesOf } from "../../cloud/terraform-json";
import { SshKey } from "../../constructs/index";
import { synthesizeConstructs } from "../../testing/synthesize";

test("the key is RSA with 2048 bits, and the key pair has its public half and the cluster's name", () => {
  const json = synthesizeConstructs((scope) => {
    new SshKey(scope, "ssh", { clusterName: "theirs" });
  });
  const [[name, key] = []] = Object.entries(resourcesOf(json, "tls_private_key"));
  const pairs = Object.values(resourcesOf(json, "aws_key_pair"));

  expect(argumentsOf(key ?? {})).toEqual({ algorithm: "RSA", rsa_bits: 2048 });
  expect(pairs.map(argumentsOf)).toEqual([
    { key_name: "theirs", public_key: `$\{trimspace(tls_private_key.${name}.public_key_openssh)}` },
  ]);
});

test("a name that AWS refuses is refused", () => {
  expect(() => synthesizeConstructs((scope) => new SshKey(scope, "ssh", { clusterName: "sg-1" }))).toThrow(
    new Error(
      `'clusterName' must be 1 to 32 letters, digits and hyphens, without a hyphen at either end and without the prefixes internal- and sg-, which AWS reserves, got: "sg-1"`,
    ),
  );
});
