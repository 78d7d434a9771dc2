import { createHash, createPrivateKey } from "node:crypto";
import { TerraformOutput } from "cdktf";
import { describeSuite } from "../../cloud/requirements";
import { argumentsOf, resourcesOf } from "../../cloud/terraform-json";
import { EncryptionKey } from "../../constructs/index";
import { synthesizeConstructs } from "../../testing/synthesize";
import { TerraformFolder } from "../../testing/terraform";
import { issueTls } from "../../testing/tls-resources";

const json = synthesizeConstructs((scope) => {
  const { base64, name } = new EncryptionKey(scope, "encryption");
  new TerraformOutput(scope, "key", { value: base64, sensitive: true });
  new TerraformOutput(scope, "name", { value: name, sensitive: true });
});

test("the construct creates only its own private key", () => {
  expect(Object.keys(json.resource)).toEqual(["tls_private_key"]);
  expect(Object.values(resourcesOf(json, "tls_private_key")).map(argumentsOf)).toEqual([{ algorithm: "ED25519" }]);
});

describeSuite("real Terraform", () => {
  const terraform = new TerraformFolder();
  afterAll(() => terraform.remove());

  test("computes a key of 32 bytes and its name from the private key", async () => {
    const computed = await issueTls(json, {});
    const [{ private_key_pem: pem = "" } = {}] = Object.values(computed);
    expect(createPrivateKey(pem).asymmetricKeyType).toBe("ed25519");
    // The synthesized expressions, with a variable for the key instead of the reference.
    const output = Object.fromEntries(
      Object.entries(json.output).map(([name, { value }]) => [
        name,
        { value: String(value).replace(/tls_private_key\.[\w-]+\.private_key_pem/, "var.pem") },
      ]),
    );
    terraform.configure({ variable: { pem: { default: pem } }, output });
    await terraform.run("init", "-no-color");
    await terraform.run("apply", "-auto-approve", "-no-color");
    const { key, name } = JSON.parse(await terraform.run("output", "-json"));
    expect(Buffer.from(key.value, "base64")).toHaveLength(32);
    expect(name.value).toBe(`key-${createHash("sha256").update(key.value).digest("hex").slice(0, 8)}`);
  });
});
