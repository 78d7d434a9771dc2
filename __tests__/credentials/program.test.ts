import "reflect-metadata";
import { spawnSync } from "node:child_process";
import { webcrypto } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as x509 from "@peculiar/x509";
import { credentialFiles } from "../../credentials/files";
import { writeFolder } from "../../credentials/folder";
import { deployedCluster, outputsOf } from "../../testing/deployed-cluster";
import { issueDefaultCluster } from "../../testing/issued-cluster";
import { synthesizeCluster } from "../../testing/synthesize";
import { TUTORIAL_NAME } from "../../testing/tutorial";

const PROJECT = join(__dirname, "../..");
const json = synthesizeCluster();
let files: Record<string, string>;
let scratch: string;

beforeAll(async () => {
  files = credentialFiles(deployedCluster(TUTORIAL_NAME, outputsOf(json, await issueDefaultCluster(json))));
});

beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), "credentials-"));
});

afterEach(() => rmSync(scratch, { recursive: true }));

const out = () => join(scratch, "out");

/** Runs the program, with other programs from the scratch folder first. */
function run(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, ["--import", "tsx", "tools/credentials.ts", ...args], {
    cwd: PROJECT,
    encoding: "utf8",
    env: { ...process.env, PATH: `${join(scratch, "bin")}:${process.env.PATH}` },
  });
  return { status, stdout, stderr };
}

/** Puts a program, a shell script, before those of the same name. */
function program(name: string, script: string): void {
  mkdirSync(join(scratch, "bin"), { recursive: true });
  writeFileSync(join(scratch, "bin", name), `#!/bin/sh\n${script}\n`);
  chmodSync(join(scratch, "bin", name), 0o755);
}

/** Writes a folder like a synthesized one. */
function synthesized(name = TUTORIAL_NAME): string[] {
  const folder = join(scratch, "cdktf.out");
  const workingDirectory = `stacks/${name}`;
  mkdirSync(join(folder, workingDirectory), { recursive: true });
  writeFileSync(join(folder, "manifest.json"), JSON.stringify({ stacks: { a: { name, workingDirectory } } }));
  return ["--from", folder];
}

/** A title of the terminal, a line that would hide the one before, one byte that begins a command, text from right to left. */
const EVIL = ["\u001b]0;title\u0007", "\r\u001b[2Kok\n", "\u009b2J", "\u202ecba"];
const ESCAPED = ["\\u001b]0;title\\u0007", "\\r\\u001b[2Kok\\n", "\\u009b2J", "\\u202ecba"];

/** Expects lines with only visible characters. */
function expectVisible({ stdout, stderr }: { stdout: string; stderr: string }): void {
  expect(`${stdout}${stderr}`).not.toMatch(/(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
}

describe("text from others does not reach the terminal as it is", () => {
  test.each(EVIL.map((text, index) => [ESCAPED[index] as string, text]))("as an argument: %s", (escaped, text) => {
    for (const args of [["check", "--out", text], ["check", `--days=${text}`], [text], [`--${text}`]]) {
      const ended = run(...args);
      expectVisible(ended);
      expect(ended).toMatchObject({ status: 2, stdout: "", stderr: expect.stringContaining(escaped) });
      expect(ended.stderr.split("\n")).toHaveLength(2);
    }
  });

  test("in an error of Terraform", () => {
    program("terraform", `printf 'Error: no \\033]0;title\\007 \\302\\2332J \\342\\200\\256abc' >&2; exit 1`);
    const ended = run(...synthesized());
    expectVisible(ended);
    expect(ended.stderr).toBe("credentials: terraform: no \\u001b]0;title\\u0007 \\u009b2J \\u202eabc\n");
  });

  test("in names of files, fields of certificates and kubeconfigs; also in JSON", async () => {
    writeFolder(out(), files, false);
    const evil = EVIL.join("");
    const secret = "-----BEGIN PRIVATE KEY-----";
    writeFileSync(join(out(), `notes${evil.replaceAll("/", "")}`), secret);
    chmodSync(join(out(), `notes${evil}`), 0o644);
    const kubeconfig = join(out(), "kubeconfigs/admin.kubeconfig");
    const changed = readFileSync(kubeconfig, "utf8").replace(/server: .*/, `server: ${JSON.stringify(evil)}`);
    writeFileSync(kubeconfig, `${changed}    ${JSON.stringify(evil)}: 1\n`);
    const keys = await webcrypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      name: [{ CN: [evil] }, { O: [evil] }],
      keys,
      signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
    });
    writeFileSync(join(out(), "ca-authority/kube-proxy.pem"), certificate.toString("pem"));

    const table = run("check", "--out", out());
    expectVisible(table);
    const escaped = ESCAPED.join("");
    expect(table.stdout).toContain(`notes${escaped}`);
    expect(table.stdout).toContain(`common name must be system:kube-proxy, got: ${escaped}`);
    expect(table.stdout).toContain(`user must not have ${escaped}`);
    const inJson = run("check", "--out", out(), "--json");
    expectVisible(inJson);
    const { findings } = JSON.parse(inJson.stdout);
    expect(findings.map(({ path }: { path: string }) => path)).toContain(`notes${evil}`);
  });
});

describe("a program in the place of Terraform", () => {
  const WRAPPER = "(if it is a wrapper, such as hashicorp/setup-terraform's, turn it off: terraform_wrapper: false)";

  test.each([
    [
      "a line of a wrapper before the outputs",
      `echo '[command]/usr/bin/terraform'; echo '{}'`,
      "[command]/usr/bin/terraform\\n{}",
    ],
    ["a line of a wrapper after the outputs", `echo '{}'; echo '::debug::exited'`, "{}\\n::debug::exited"],
    ["a word", "echo hello", "hello"],
    ["null", "echo null", "null"],
    ["a number", "echo 5", "5"],
    ["a list", "echo '[]'", "[]"],
    ["outputs without values", `echo '{"nodes":null}'`, `{"nodes":null}`],
    ["nothing", "exit 0", "nothing"],
  ])("that prints %s is reported in one line", (_name, script, got) => {
    program("terraform", script);
    expect(run(...synthesized())).toEqual({
      status: 2,
      stdout: "",
      stderr: `credentials: terraform must print its outputs as JSON, got: ${got} ${WRAPPER}\n`,
    });
  });

  test.each([
    ["without end", "yes", "terraform: it printed more than 64 MiB"],
    ["and fails without a word", "echo '{}'; exit 3", "terraform: status 3"],
    [
      "and fails with much text",
      "head -c 1000000 /dev/zero | tr '\\0' a >&2; exit 1",
      `terraform: ${"a".repeat(300)} …`,
    ],
  ])("that prints %s is reported in one line", (_name, script, line) => {
    program("terraform", script);
    expect(run(...synthesized())).toEqual({ status: 2, stdout: "", stderr: `credentials: ${line}\n` });
  });
});

describe("a manifest that leads out of its folder", () => {
  test.each([
    ["../evil", "stacks/evil"],
    ["evil", "../evil"],
    ["evil", "stacks/../../evil"],
    ["evil", "/tmp"],
    [".", "stacks/."],
    ["a".repeat(245), `stacks/${"a".repeat(245)}`],
  ])("the stack %j in %j is refused", (name, workingDirectory) => {
    const from = join(scratch, "cdktf.out");
    mkdirSync(from);
    writeFileSync(join(from, "manifest.json"), JSON.stringify({ stacks: { a: { name, workingDirectory } } }));
    program("terraform", "touch ran; echo '{}'");
    for (const command of [[], ["check"]]) {
      expect(run(...command, "--from", from)).toEqual({
        status: 2,
        stdout: "",
        stderr: `credentials: ${from}/manifest.json must have stacks with plain names in stacks/NAME, got: ${name} in ${workingDirectory}\n`,
      });
    }
    expect(readdirSync(scratch).sort()).toEqual(["bin", "cdktf.out"]);
  });

  test.each([
    ["a pipe", (path: string) => spawnSync("mkfifo", [path])],
    ["a folder", (path: string) => mkdirSync(path)],
    ["null", (path: string) => writeFileSync(path, "null")],
    ["a list of stacks", (path: string) => writeFileSync(path, `{"stacks":[null]}`)],
  ])("%s as manifest is refused in one line", (_name, make) => {
    make(join(scratch, "manifest.json"));
    expect(run("--from", scratch)).toEqual({
      status: 2,
      stdout: "",
      stderr: `credentials: '--from' must be a folder that \`npm run synth\` wrote, got: ${scratch}\n`,
    });
  });
});
