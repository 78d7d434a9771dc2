import { concernsOf } from "../review/concerns";
import { renderPage } from "../review/page";
import { PlanError, readPlan } from "../review/plan";
import { describeSuite } from "../testing/requirements";
import { TerraformFolder } from "../testing/terraform";

const SECRET = "correct horse battery staple";

interface Planned {
  readonly address: string;
  readonly action_reason?: string;
  readonly previous_address?: string;
  readonly change: object;
}

function plan(...changes: readonly Planned[]): string {
  return JSON.stringify({
    format_version: "1.2",
    resource_changes: changes.map((each) => ({ mode: "managed", ...each })),
  });
}

const UPDATE = { actions: ["update"], before: { size: 1 }, after: { size: 2 }, after_unknown: {} };

test("actions, arguments and what forces a replacement are Terraform's own", () => {
  const changes = readPlan(
    plan(
      { address: "aws_lb.a", change: UPDATE },
      { address: "aws_lb.b", change: { actions: ["no-op"], before: { size: 1 }, after: { size: 1 } } },
      {
        address: "aws_lb.c",
        change: { actions: ["create"], before: null, after: { size: 1 }, after_unknown: { id: true } },
      },
      { address: "aws_lb.d", change: { actions: ["delete"], before: { size: 1 }, after: null } },
      {
        address: "aws_instance.e",
        change: {
          actions: ["delete", "create"],
          before: { subnet: "s-1", id: "i-1", size: 1 },
          after: { size: 2 },
          after_unknown: { subnet: true, id: true },
          replace_paths: [["subnet"]],
        },
      },
      {
        address: "data.aws_ami.f",
        change: { actions: ["read"], before: null, after: {} },
      },
    ),
  );
  expect(changes.resources.map(({ address, action }) => `${address} ${action}`)).toEqual([
    "aws_instance.e replace",
    "aws_lb.a update",
    "aws_lb.c create",
    "aws_lb.d destroy",
  ]);
  expect(changes.resources[0]?.arguments).toEqual([
    { path: "size", before: 1, after: 2, action: "update" },
    { path: "subnet", before: "s-1", after: "(known after apply)", action: "replace" },
  ]);
  expect(concernsOf(changes).map(({ kind }) => kind)).toEqual(["replace-machine", "replace-load-balancer"]);
});

test("a page says why, in words, where from, and that a machine stops for its type", () => {
  const same = { before: { size: 1 }, after: { size: 1 }, after_unknown: {} };
  const page = renderPage(
    readPlan(
      plan(
        {
          address: "null_resource.a",
          action_reason: "replace_because_tainted",
          change: { ...same, actions: ["delete", "create"] },
        },
        { address: "null_resource.b", action_reason: "a_new_one", change: { ...same, actions: ["delete", "create"] } },
        { address: "aws_lb.c", previous_address: "aws_lb.old", change: { ...same, actions: ["no-op"] } },
        {
          address: "aws_instance.d",
          change: { ...UPDATE, before: { instance_type: "t2.micro" }, after: { instance_type: "t3.small" } },
        },
      ),
    ),
  );
  expect(page).toContain("`null_resource.a`: replaced, which an earlier apply left unfinished\n");
  expect(page).toContain("`null_resource.b`: replaced, `a_new_one`\n");
  expect(page).toContain("`aws_lb.c`: without effect, moved from `aws_lb.old`\n");
  expect(page).toContain("`aws_instance.d`: restarted\n");
  expect(page).toContain("**Look at: restart-machine.** 1 restarted, 2 replaced, 1 without effect.");
});

test("outputs that come and go are told, without their values", () => {
  const { elsewhere } = readPlan(
    JSON.stringify({
      format_version: "1.2",
      output_changes: {
        key: { actions: ["create"], before: null, after: SECRET, after_sensitive: true },
        nodes: { actions: ["update"], before: 1, after: 2 },
        old: { actions: ["delete"], before: 1, after: null },
      },
    }),
  );
  expect(elsewhere).toEqual([
    { path: "output.key", action: "none", note: "added" },
    { path: "output.old", action: "none", note: "removed" },
  ]);
});

test("a page of very many changes fits a comment, and says what it leaves out", () => {
  const many = Array.from({ length: 1000 }, (_each, index) => ({ address: `aws_lb.number-${index}`, change: UPDATE }));
  const page = renderPage(readPlan(plan(...many)));
  expect(page.length).toBeLessThan(56_000);
  const [, rest] = /and (\d+) more: `--format json` lists all\n\n<\/details>\n$/.exec(page) ?? [];
  expect(page.split(": changed in place").length - 1 + Number(rest)).toBe(1000);
  expect(page).toContain("<details><summary>");
});

test("what Terraform marks as sensitive is masked, and what looks like a key too", () => {
  const page = renderPage(
    readPlan(
      plan({
        address: "tls_private_key.a",
        change: {
          actions: ["update"],
          before: { password: "old", list: [{ token: "old" }], pem: "a" },
          after: { password: SECRET, list: [{ token: SECRET }], pem: "-----BEGIN RSA PRIVATE KEY-----" },
          after_unknown: {},
          before_sensitive: { password: true },
          after_sensitive: { password: true, list: [{ token: true }] },
        },
      }),
    ),
  );
  expect(page).toContain("`password`");
  expect(page).toContain("(sensitive)");
  expect(page).not.toContain(SECRET);
  expect(page).not.toContain("PRIVATE KEY");
});

test.each([
  ["not JSON", "{", "the plan must be JSON from `terraform show -json`"],
  ["another version", '{"format_version":"2.0"}', `the plan's 'format_version' must be 1.x, got: "2.0"`],
  [
    "a plan that failed",
    '{"format_version":"1.2","errored":true}',
    "the plan must be whole, got one that ended in an error",
  ],
  ["no plan", "[]", "the plan's 'format_version' must be 1.x, got: undefined"],
  ["nothing", "null", "the plan's 'format_version' must be 1.x, got: undefined"],
])("%s is refused in one line", (_what, text, message) => {
  expect(() => readPlan(text)).toThrow(new PlanError(message));
});

describeSuite("real Terraform", () => {
  const terraform = new TerraformFolder();
  afterAll(() => terraform.remove());

  test("a plan of real Terraform is read, and its secret masked", async () => {
    const variable = { secret: { sensitive: true, default: SECRET } };
    const resource = (input: unknown, trigger: string) => ({
      variable,
      resource: { terraform_data: { a: { input, triggers_replace: [trigger] } } },
    });
    terraform.configure(resource("before", "one"));
    await terraform.run("init", "-no-color");
    await terraform.run("apply", "-auto-approve", "-no-color");
    terraform.configure(resource("$" + "{var.secret}", "two"));
    await terraform.run("plan", "-out=plan", "-no-color");
    const text = await terraform.run("show", "-json", "plan");
    expect(text).toContain(SECRET);

    const changes = readPlan(text);
    expect(changes.resources).toMatchObject([{ address: "terraform_data.a", action: "replace" }]);
    expect(renderPage(changes)).toContain("(sensitive)");
    expect(JSON.stringify(changes)).not.toContain(SECRET);
  });
});
