import { argumentsOf, resourcesOf } from "../../cloud/terraform-json";
import { PemDistribution, type PemFile } from "../../constructs/index";
import { someMachines } from "../../testing/parts";
import { synthesizeConstructs } from "../../testing/synthesize";

const CERTIFICATE: PemFile = { name: "a.pem", content: "certificate", secret: false };
const KEY: PemFile = { name: "a-key.pem", content: "key", secret: true };

function copy(files: readonly PemFile[], connectionTimeout?: string) {
  const json = synthesizeConstructs((scope) => {
    const { sshKey, nodes } = someMachines(scope, 1);
    const [node] = nodes;
    if (node === undefined) throw new Error("no machine");
    new PemDistribution(scope, "pems", { node, sshKey, files, connectionTimeout });
  });
  const [machine] = Object.keys(resourcesOf(json, "aws_instance"));
  const [copyBlock, ...others] = Object.values(resourcesOf(json, "null_resource"));
  expect(others).toEqual([]);
  return { machine, copy: argumentsOf(copyBlock ?? {}) };
}

test("a private staging folder, the files, their installation, the end of staging: in this order and nothing else", () => {
  expect(copy([CERTIFICATE, KEY]).copy.provisioner).toEqual([
    {
      "remote-exec": {
        inline: ["set -eu", "rm -rf /home/ubuntu/.pem-staging", "install -d -m 0700 /home/ubuntu/.pem-staging"],
      },
    },
    { file: { content: "certificate", destination: "/home/ubuntu/.pem-staging/a.pem" } },
    { file: { content: "key", destination: "/home/ubuntu/.pem-staging/a-key.pem" } },
    {
      "remote-exec": {
        inline: [
          "set -eu",
          "install -m 0644 /home/ubuntu/.pem-staging/a.pem /home/ubuntu/a.pem",
          "install -m 0600 /home/ubuntu/.pem-staging/a-key.pem /home/ubuntu/a-key.pem",
          "rm -rf /home/ubuntu/.pem-staging",
        ],
      },
    },
  ]);
});

test("over ssh as ubuntu to the public address, with the key alone and an end to waiting", () => {
  const { copy: resource, machine } = copy([CERTIFICATE]);
  expect(resource.connection).toEqual({
    type: "ssh",
    user: "ubuntu",
    host: `$\{aws_instance.${machine}.public_ip}`,
    private_key: expect.stringMatching(/^\$\{tls_private_key\.ssh_ssh-key_\w+\.private_key_pem\}$/),
    agent: "false",
    timeout: "5m",
  });
  expect(copy([CERTIFICATE], "90s").copy.connection.timeout).toBe("90s");
});

test("a secret's version is what redoes its copy, and not the secret", () => {
  const trigger = (version?: string) =>
    copy([{ name: "admin.kubeconfig", content: "secret", secret: true, version }]).copy.triggers.files;
  expect(trigger("certificate")).toBe(
    "$" + '{sha256(join("\\n", ["0600 /home/ubuntu/admin.kubeconfig", "certificate"]))}',
  );
  expect(trigger()).toBe("$" + '{sha256(join("\\n", ["0600 /home/ubuntu/admin.kubeconfig"]))}');
});

test("redone with the machine, a certificate, a name or a mode; a key's content is in no hash", () => {
  const { copy: resource, machine } = copy([CERTIFICATE, KEY]);
  expect(resource.triggers).toEqual({
    machine: `$\{aws_instance.${machine}.id}`,
    files: "$" + '{sha256(join("\\n", ["0644 /home/ubuntu/a.pem", "certificate", "0600 /home/ubuntu/a-key.pem"]))}',
  });
});

test.each<[string, readonly PemFile[], string]>([
  [
    "a path for a name",
    [{ ...KEY, name: "../a.pem" }],
    `'files[0].name' must be a file name of letters, digits, dots, underscores and hyphens that begins with a letter or digit, got: "../a.pem"`,
  ],
  [
    "a name for the shell",
    [{ ...KEY, name: "a;b" }],
    `'files[0].name' must be a file name of letters, digits, dots, underscores and hyphens that begins with a letter or digit, got: "a;b"`,
  ],
  [
    "a name like an option",
    [{ ...KEY, name: "-rf" }],
    `'files[0].name' must be a file name of letters, digits, dots, underscores and hyphens that begins with a letter or digit, got: "-rf"`,
  ],
  ["a name twice", [KEY, KEY], `'files[1].name' must be different from the names before it, got: "a-key.pem"`],
])("%s is refused", (_what, files, message) => {
  expect(() => copy(files)).toThrow(new Error(message));
});
