import { argumentsOf, resourcesOf } from "../../cloud/terraform-json";
import { FileDistribution, type FileDistributionProps, type FileToDistribute } from "../../constructs/index";
import { distributionScript, readDistributionScript, STAGING_SCRIPT } from "../../model/distribution";
import { someMachines } from "../../testing/parts";
import { synthesizeConstructs } from "../../testing/synthesize";

const CERTIFICATE: FileToDistribute = {
  path: "/home/ubuntu/a.pem",
  content: "certificate",
  mode: "0644",
  owner: "ubuntu",
  version: "certificate",
};
const KEY: FileToDistribute = { path: "/home/ubuntu/a-key.pem", content: "key", mode: "0600", owner: "ubuntu" };

function distribute(files: readonly FileToDistribute[], props: Partial<FileDistributionProps> = {}) {
  const json = synthesizeConstructs((scope) => {
    const { sshKey, nodes } = someMachines(scope, 1);
    const [node] = nodes;
    if (node === undefined) throw new Error("no machine");
    new FileDistribution(scope, "files", { node, sshKey, files, ...props });
  });
  const [machine] = Object.keys(resourcesOf(json, "aws_instance"));
  const [block, ...others] = Object.values(resourcesOf(json, "null_resource"));
  expect(others).toEqual([]);
  return { machine, copy: argumentsOf(block ?? {}) };
}

test("three provisioners create the staging folder, upload the bundle and run the script", () => {
  const { copy } = distribute([CERTIFICATE, KEY], { activate: ["echo done"] });
  expect(copy.provisioner).toEqual([
    {
      "remote-exec": {
        connection: {
          type: "ssh",
          host: copy.connection.host,
          script_path: "/home/ubuntu/.ssh/terraform-staging.sh",
        },
        inline: STAGING_SCRIPT,
      },
    },
    {
      file: {
        content: "$" + '{base64encode("certificate")}\n$' + '{base64encode("key")}\nend\n',
        destination: "/home/ubuntu/.distribution/bundle",
      },
    },
    { "remote-exec": { inline: distributionScript([CERTIFICATE, KEY], ["echo done"]) } },
  ]);
});

test("the connection is ssh as ubuntu to the public address, only with the key, and with scripts where other users cannot reach them", () => {
  const { copy, machine } = distribute([CERTIFICATE]);
  expect(copy.connection).toEqual({
    type: "ssh",
    user: "ubuntu",
    host: `$\{aws_instance.${machine}.public_ip}`,
    private_key: expect.stringMatching(/^\$\{tls_private_key\.ssh_ssh-key_\w+\.private_key_pem\}$/),
    agent: "false",
    script_path: "/home/ubuntu/.distribution/run/script.sh",
    timeout: "5m",
  });
  expect(distribute([CERTIFICATE], { connectionTimeout: "90s" }).copy.connection.timeout).toBe("90s");
});

test("the triggers contain machine, versions, paths, modes and owners, and no secret", () => {
  const { copy, machine } = distribute([CERTIFICATE, KEY]);
  expect(copy.triggers).toEqual({
    machine: `$\{aws_instance.${machine}.id}`,
    files: "$" + '{sha256(join("\\n", ["0644 /home/ubuntu/a.pem", "certificate", "0600 /home/ubuntu/a-key.pem"]))}',
  });
  const [{ copy: ofRoot }] = [distribute([{ ...KEY, owner: "root", version: "1" }])];
  expect(ofRoot.triggers.files).toBe("$" + '{sha256(join("\\n", ["0600 /home/ubuntu/a-key.pem root", "1"]))}');
});

test("readDistributionScript reads the script, and refuses one that differs in any line", () => {
  const files = [CERTIFICATE, { ...KEY, owner: "root" as const }].map(({ path, mode, owner }) => ({
    path,
    mode,
    owner,
  }));
  const script = distributionScript(files, ["systemctl restart etcd"]);
  expect(readDistributionScript(script)).toEqual({ files, activate: ["systemctl restart etcd"] });
  for (let index = 0; index < script.length - 1; index++) {
    expect(readDistributionScript(script.map((line, at) => (at === index ? `${line}; true` : line)))).toBeUndefined();
    expect(readDistributionScript(script.filter((_line, at) => at !== index))).not.toEqual({ files, activate: [] });
  }
  expect(readDistributionScript(["echo"])).toBeUndefined();
});

const PATHS = "an absolute path of letters, digits, dots, underscores, hyphens and slashes, without . and .. as names";

test.each<[string, readonly FileToDistribute[], string]>([
  ["a relative path", [{ ...KEY, path: "a.pem" }], `'files[0].path' must be ${PATHS}, got: "a.pem"`],
  ["a path with ..", [{ ...KEY, path: "/a/../b" }], `'files[0].path' must be ${PATHS}, got: "/a/../b"`],
  [
    "a path with a character that the shell interprets",
    [{ ...KEY, path: "/a;b" }],
    `'files[0].path' must be ${PATHS}, got: "/a;b"`,
  ],
  [
    "a repeated path",
    [KEY, KEY],
    `'files[1].path' must be different from the paths before it, got: "/home/ubuntu/a-key.pem"`,
  ],
])("refuses %s", (_name, files, message) => {
  expect(() => distribute(files)).toThrow(new Error(message));
});
