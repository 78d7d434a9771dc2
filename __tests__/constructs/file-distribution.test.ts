import { argumentsOf, resourcesOf } from "../../cloud/terraform-json";
import { FileDistribution, type FileDistributionProps, type FileToDistribute } from "../../constructs/index";
import { bundleEnd, distributionScript, readDistributionScript, STAGING_SCRIPT } from "../../model/distribution";
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

const PATHS = "an absolute path of letters, digits, dots, underscores, hyphens and slashes, without . and .. as names";

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
        content:
          ["", '{base64encode("certificate")}\n', '{base64encode("key")}\n'].join("$") +
          `${bundleEnd([CERTIFICATE, KEY])}\n`,
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
  expect(readDistributionScript(script)).toEqual({ files, activate: ["systemctl restart etcd"], folders: [] });
  for (const index of script.keys()) {
    if (script[index] === "systemctl restart etcd") continue;
    expect(readDistributionScript(script.map((line, at) => (at === index ? `${line}; true` : line)))).toBeUndefined();
    expect(readDistributionScript(script.filter((_line, at) => at !== index))).toBeUndefined();
  }
  expect(readDistributionScript(["echo"])).toBeUndefined();
});

test("a changed command is run again: it is in the trigger", () => {
  const files = (activate?: readonly string[]) => distribute([CERTIFICATE], { activate }).copy.triggers.files;
  expect(files(["systemctl restart etcd"])).toBe(
    "$" + '{sha256(join("\\n", ["0644 /home/ubuntu/a.pem", "certificate", "systemctl restart etcd"]))}',
  );
  expect(files([])).toBe(files());
  expect(files(['echo "$HOME" \\n'])).toContain(String.raw`, "echo \"$HOME\" \\n"]`);
});

test("folders are made before the files, and are in the trigger", () => {
  const folders = ["/etc/etcd", "/var/lib/kubernetes"];
  const { copy } = distribute([CERTIFICATE], { folders, activate: ["true"] });
  expect(copy.provisioner[2]["remote-exec"].inline).toEqual(distributionScript([CERTIFICATE], ["true"], folders));
  expect(copy.triggers.files).toBe(
    "$" +
      '{sha256(join("\\n", ["0644 /home/ubuntu/a.pem", "certificate", "/etc/etcd", "/var/lib/kubernetes", "true"]))}',
  );
});

test("other triggers are in place of the files', beside the machine", () => {
  const { machine, files } = distribute([CERTIFICATE]).copy.triggers;
  const { copy } = distribute([CERTIFICATE], { triggers: { programs: "1.37.2" } });
  expect(copy.triggers).toEqual({ machine, programs: "1.37.2" });
  expect(copy.triggers).not.toHaveProperty("files");
  expect(files).toMatch(/^\$\{sha256\(/);
});

test("a set without files runs commands, and its id can be the trigger of another set", () => {
  const json = synthesizeConstructs((scope) => {
    const { sshKey, nodes } = someMachines(scope, 1);
    const props = { node: nodes[0] as FileDistributionProps["node"], sshKey };
    const first = new FileDistribution(scope, "first", { ...props, files: [CERTIFICATE] });
    const triggers = { first: first.copyId };
    new FileDistribution(scope, "second", { ...props, files: [], activate: ["true"], triggers });
  });
  const [[first = ""], [, second]] = [
    Object.keys(resourcesOf(json, "null_resource")),
    Object.values(resourcesOf(json, "null_resource")).map(argumentsOf),
  ];
  expect(second?.triggers.first).toBe(`$\{null_resource.${first}.id}`);
  expect(second?.provisioner[1].file.content).toBe(`${bundleEnd([])}\n`);
  expect(second?.provisioner[2]["remote-exec"].inline).toEqual(distributionScript([], ["true"]));
});

test("a file may belong to the user of a program", () => {
  const { copy } = distribute([{ ...KEY, owner: "kube-apiserver", version: "1" }]);
  expect(copy.triggers.files).toContain('["0600 /home/ubuntu/a-key.pem kube-apiserver", "1"]');
  expect(copy.provisioner[2]["remote-exec"].inline).toContain("write 1 0600 kube-apiserver /home/ubuntu/a-key.pem");
});

test.each([
  ["a relative path", "etc", '"etc"'],
  ["a path with ..", "/etc/../x", '"/etc/../x"'],
  ["a command", "/etc; id", '"/etc; id"'],
  ["the folder of all", "/", '"/"'],
])("refuses %s as a folder", (_case, folder, got) => {
  expect(() => distribute([KEY], { folders: ["/etc/etcd", folder] })).toThrow(
    new Error(`'folders[1]' must be ${PATHS}, got: ${got}`),
  );
});

test.each([
  ["a decomposed letter", "e\u0301", '"e\u0301"'],
  ["a decomposed letter beside a token", "$" + "{TfToken[TOKEN.0]}e\u0301", "e\u0301"],
  ["a letter that Unicode replaces", "\u212b", "\u212b"],
  ["half of a surrogate pair", "a\ud800b", "\\ud800"],
])("refuses a content with %s, which Terraform would change", (_case, content, got) => {
  const refused = () => distribute([{ ...CERTIFICATE, content }]);
  expect(refused).toThrow(/^'files\[0\].content' must be text in Unicode's composed form \(NFC\), got: /);
  expect(refused).toThrow(got);
});

test("takes composed letters, emoji and carriage returns in a content", () => {
  const { copy } = distribute([{ ...CERTIFICATE, content: "é 🙂\r\n" }]);
  expect(copy.provisioner[1].file.content).toContain(String.raw`{base64encode("é 🙂\r\n")}`);
});

test("a copy waits for what it depends on, and others can wait for it", () => {
  const json = synthesizeConstructs((scope) => {
    const { sshKey, nodes } = someMachines(scope, 1);
    const props = { node: nodes[0] as FileDistributionProps["node"], sshKey };
    const first = new FileDistribution(scope, "first", { ...props, files: [CERTIFICATE] });
    new FileDistribution(scope, "second", { ...props, files: [KEY], dependsOn: [first.completed] });
  });
  const copies = resourcesOf(json, "null_resource");
  const [[first = ""], [, second]] = [Object.keys(copies), Object.values(copies)];
  expect(argumentsOf(second ?? {}).depends_on).toEqual([`null_resource.${first}`]);
});

test("text in a content is not a template or a string of Terraform, beside tokens too", () => {
  const json = synthesizeConstructs((scope) => {
    const { sshKey, nodes } = someMachines(scope, 1);
    const node = nodes[0] as FileDistributionProps["node"];
    const content = `a "quoted" $\{template} %{if} \\d\n${node.publicIp} "e"`;
    new FileDistribution(scope, "files", { node, sshKey, files: [{ ...KEY, content }] });
  });
  const [machine] = Object.keys(resourcesOf(json, "aws_instance"));
  const [block] = Object.values(resourcesOf(json, "null_resource"));
  const [, { file: bundle }] = argumentsOf(block ?? {}).provisioner;
  const before = String.raw`"a \"quoted\" $$\{template} %%{if} \\d\n"`.replace("\\{", "{");
  expect(bundle.content.split("\n")[0]).toBe(
    `$\{base64encode(join("", [${before}, aws_instance.${machine}.public_ip, " \\"e\\""]))}`,
  );
});

test.each<[string, readonly FileToDistribute[], string]>([
  ["a relative path", [{ ...KEY, path: "a.pem" }], `'files[0].path' must be ${PATHS}, got: "a.pem"`],
  ["a path with ..", [{ ...KEY, path: "/a/../b" }], `'files[0].path' must be ${PATHS}, got: "/a/../b"`],
  [
    "a path with a character that the shell interprets",
    [{ ...KEY, path: "/a;b" }],
    `'files[0].path' must be ${PATHS}, got: "/a;b"`,
  ],
  [
    "a path that is a list",
    [{ ...KEY, path: ["/a"] as unknown as string }],
    `'files[0].path' must be ${PATHS}, got: ["/a"]`,
  ],
  ...[
    "/a.distribution-new",
    "/etc/etcd/a.pem.distribution-old",
    "/home/ubuntu/.distribution",
    "/home/ubuntu/.distribution/bundle",
    "/home/ubuntu/.distribution/run/script.sh",
    "/home/ubuntu/.ssh/terraform-staging.sh",
  ].map((path): [string, readonly FileToDistribute[], string] => [
    `the path ${path}, which the copy itself uses`,
    [{ ...KEY, path }],
    `'files[0].path' must be a path that the copy itself does not use, got: "${path}"`,
  ]),
  [
    "a mode with a command",
    [{ ...KEY, mode: "0600; id" as "0600" }],
    `'files[0].mode' must be 0600, 0644 or 0755, got: "0600; id"`,
  ],
  [
    "an owner with a command",
    [{ ...KEY, owner: "root; id" as "root" }],
    `'files[0].owner' must be the name of a user, got: "root; id"`,
  ],
  ...["", "-r", "Root", "1000", "a".repeat(33)].map((owner): [string, readonly FileToDistribute[], string] => [
    `the owner ${JSON.stringify(owner)}`,
    [{ ...KEY, owner }],
    `'files[0].owner' must be the name of a user, got: "${owner}"`,
  ]),
  [
    "a repeated path",
    [KEY, KEY],
    `'files[1].path' must be different from the paths before it, got: "/home/ubuntu/a-key.pem"`,
  ],
])("refuses %s", (_name, files, message) => {
  expect(() => distribute(files)).toThrow(new Error(message));
});

test("accepts paths that begin like the paths of the copy itself", () => {
  const paths = ["/home/ubuntu/.distribution-keys", "/opt/.distribution/a", "/etc/a.distribution-new.pem"];
  expect(() => distribute(paths.map((path) => ({ ...KEY, path })))).not.toThrow();
});
