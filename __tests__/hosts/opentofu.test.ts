import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { start } from "../../cloud/program";
import { CLI_CONFIG, installProviders } from "../../cloud/providers";
import { describeSuite } from "../../cloud/requirements";
import { readPlan } from "../../review/plan";
import { outputsOf } from "../../testing/deployed-cluster";
import { configurationBlocks } from "../../testing/documented";
import { issueDefaultCluster } from "../../testing/issued-cluster";
import { synthesizeCluster } from "../../testing/synthesize";
import { TUTORIAL_NAME } from "../../testing/tutorial";

const PROJECT = join(__dirname, "../..");

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "opentofu-"));
});

afterEach(() => rmSync(folder, { recursive: true }));

const out = () => join(folder, "cdktf.out");
const stackFolder = () => join(out(), "stacks", TUTORIAL_NAME);
const read = (name: string) => readFileSync(join(folder, name), "utf8");

/** Writes a synthesized stack with the outputs of a deployed cluster, and without resources. */
async function synthesized(): Promise<Record<string, string>> {
  const json = synthesizeCluster();
  const outputs = outputsOf(json, await issueDefaultCluster(json));
  mkdirSync(stackFolder(), { recursive: true });
  const stack = { name: TUTORIAL_NAME, workingDirectory: `stacks/${TUTORIAL_NAME}` };
  writeFileSync(join(out(), "manifest.json"), JSON.stringify({ stacks: { [TUTORIAL_NAME]: stack } }));
  const output = Object.fromEntries(Object.entries(outputs).map(([name, value]) => [name, { value, sensitive: true }]));
  const backend = { local: { path: "../../../a.tfstate" } };
  writeFileSync(
    join(stackFolder(), "cdk.tf.json"),
    JSON.stringify({
      terraform: { backend },
      output,
      resource: { terraform_data: { a: { input: outputs.pem_files } } },
    }),
  );
  return outputs.pem_files as Record<string, string>;
}

/**
 * The environment of a person who uses OpenTofu, and whose `terraform` is another program.
 * @param encryption - the content of the variable TF_ENCRYPTION @default - not set
 */
function environment(encryption?: string): NodeJS.ProcessEnv {
  const bin = join(folder, "bin");
  mkdirSync(bin, { recursive: true });
  writeFileSync(join(bin, "terraform"), "#!/bin/sh\necho 'terraform was started' >&2\nexit 99\n", { mode: 0o755 });
  return {
    ...process.env,
    PATH: `${bin}:${process.env.PATH}`,
    TERRAFORM_BINARY_NAME: "tofu",
    TF_CLI_CONFIG_FILE: "/dev/null",
    CHECKPOINT_DISABLE: "1",
    ...(encryption !== undefined && { TF_ENCRYPTION: encryption }),
  };
}

function run(command: readonly string[], encryption?: string) {
  const [program = "", ...args] = command;
  const { status, stdout, stderr } = spawnSync(program, args, {
    cwd: PROJECT,
    env: environment(encryption),
    encoding: "utf8",
  });
  return { status, output: stdout + stderr };
}

const script = (name: string, args: readonly string[], encryption?: string) =>
  run(["npm", "run", "--silent", name, "--", "--skip-synth", "--output", out(), "-no-color", ...args], encryption);
const deploy = (encryption?: string) => script("deploy", ["-auto-approve"], encryption);
const credentials = (encryption?: string) =>
  run(
    ["npm", "run", "--silent", "credentials", "--", "--from", out(), "--out", join(folder, "credentials")],
    encryption,
  );

/** The names of PEM files with a line that a text contains. */
const readableKeys = (text: string, pems: Record<string, string>) =>
  Object.entries(pems).flatMap(([name, pem]) => (text.includes(pem.split("\n")[2] as string) ? [name] : []));

/** The configurations of a section of docs/security.md, with passphrases in place of the page's. */
function configurations() {
  const [passphrase, kms, encrypt, decrypt, rotate] = configurationBlocks(
    "security.md",
    "Encrypted state with OpenTofu",
  ) as [string, string, string, string, string];
  const keys = passphrase.slice(0, passphrase.indexOf("state {"));
  const plan = passphrase.slice(passphrase.indexOf("plan {"));
  return { passphrase, kms, encrypt: keys + encrypt + plan, decrypt: keys + decrypt + plan, rotate: keys + rotate };
}

describeSuite("OpenTofu", () => {
  test("TERRAFORM_BINARY_NAME=tofu: deploy, diff, credentials, plan-page.sh, apply-reviewed.sh and destroy run OpenTofu", async () => {
    await synthesized();
    expect(script("diff", []).output).toContain("OpenTofu will perform the following actions");
    const page = join(folder, "page");
    expect(run([join(PROJECT, "tools/plan-page.sh"), stackFolder(), page])).toMatchObject({ status: 0 });
    expect(readFileSync(join(page, "page.md"), "utf8")).toContain("`terraform_data.a`: added");
    const plan = run(["tofu", `-chdir=${stackFolder()}`, "show", "-json", "plan"]).output;
    expect(readPlan(plan).resources.map(({ address }) => address)).toEqual(["terraform_data.a"]);
    expect(run([join(PROJECT, "tools/apply-reviewed.sh"), stackFolder(), page, page])).toMatchObject({
      status: 0,
      output: expect.stringContaining("Apply complete! Resources: 1 added"),
    });
    expect(deploy().output).toContain("OpenTofu has compared your real infrastructure");
    expect(credentials()).toMatchObject({ status: 0, output: expect.stringContaining("files written") });
    expect(script("destroy", ["-auto-approve"]).output).toContain("Destroy complete! Resources: 1 destroyed.");
  }, 120_000);

  test("an encrypted state, as on the page: no file has a readable key, and another passphrase is refused", async () => {
    const pems = await synthesized();
    const { passphrase } = configurations();
    expect(deploy(passphrase)).toMatchObject({ status: 0 });
    // A second version, so that there is a backup.
    expect(script("deploy", ["-auto-approve", "-replace=terraform_data.a"], passphrase)).toMatchObject({ status: 0 });
    expect(script("diff", ["-replace=terraform_data.a", "-out=plan"], passphrase)).toMatchObject({ status: 0 });
    const plan = join("cdktf.out/stacks", TUTORIAL_NAME, "plan");
    for (const file of ["a.tfstate", "a.tfstate.backup", plan]) {
      expect(Object.keys(JSON.parse(read(file)))).toContain("encrypted_data");
      expect(readableKeys(read(file), pems)).toEqual([]);
    }
    expect(credentials(passphrase)).toMatchObject({ status: 0, output: expect.stringContaining("files written") });

    const before = read("a.tfstate");
    const other = passphrase.replace("at least 16", "more than 20");
    for (const encryption of [other, undefined]) {
      const words = encryption === undefined ? "encrypted and can not be read without" : "decryption failed";
      for (const ended of [deploy(encryption), credentials(encryption)]) {
        expect(ended.status).not.toBe(0);
        expect(ended.output.replaceAll(/\s+/g, " ")).toContain(words);
      }
    }
    expect(read("a.tfstate")).toBe(before);
  }, 300_000);

  test("an existing state is encrypted, gets another passphrase, and is written in clear text again, as on the page", async () => {
    const pems = await synthesized();
    const { passphrase, encrypt, rotate, decrypt } = configurations();
    const second = rotate
      .slice(rotate.indexOf('key_provider "pbkdf2" "second"'))
      .replace(/ {2}fallback \{.*?\n {2}\}\n/s, "");
    const succeed = (encryption?: string) => expect(deploy(encryption)).toMatchObject({ status: 0 });
    const isReadable = () => readableKeys(read("a.tfstate"), pems).length > 0;

    succeed();
    expect(isReadable()).toBe(true);
    succeed(encrypt);
    expect(isReadable()).toBe(false);
    succeed(passphrase);
    succeed(rotate);
    expect(deploy(passphrase).status).toBe(1);
    expect(second).not.toContain("first");
    succeed(second);
    // The first passphrase again, with the second one for reading.
    succeed(
      rotate.replace(/aes_gcm\.(first|second)/g, (_, name) => `aes_gcm.${name === "first" ? "second" : "first"}`),
    );
    succeed(decrypt);
    expect(isReadable()).toBe(true);
    succeed();
  }, 300_000);

  test("the configuration for AWS KMS is one that OpenTofu knows", async () => {
    await synthesized();
    const { passphrase, kms } = configurations();
    const { output } = script("diff", [], kms + passphrase.slice(passphrase.indexOf("state {")));
    // Without credentials for AWS, the key provider itself fails.
    expect(output.replaceAll(/\s+/g, " ")).toContain("key_provider.aws_kms.first");
    expect(output).not.toMatch(/Unsupported|Invalid|not expected here/);
  });
});

describeSuite("OpenTofu with the providers", () => {
  test("OpenTofu finds the installed providers under its own registry's name, and the JSON is valid", async () => {
    const json = synthesizeCluster();
    await installProviders(json);
    writeFileSync(join(folder, "cdk.tf.json"), JSON.stringify(json));
    const env = { ...environment(), TF_CLI_CONFIG_FILE: CLI_CONFIG };
    const tofu = async (...args: string[]) =>
      (await start(["tofu", ...args, "-no-color"], { cwd: folder, env }).ended).output;
    const initialized = await tofu("init", "-backend-config=path=terraform.tfstate", "-input=false");
    expect(initialized).toContain("OpenTofu has been successfully initialized!");
    expect(readdirSync(join(folder, ".terraform/providers"))).toEqual(["registry.opentofu.org"]);
    expect(await tofu("validate")).toContain("Success! The configuration is valid.");
  }, 300_000);
});
