import { describeSuite } from "../../cloud/requirements";
import { UserError } from "../../model/user-error";
import { findingsOf } from "../../review/findings";
import { renderPage } from "../../review/page";
import { readPlan } from "../../review/plan";
import { TerraformFolder } from "../../testing/terraform";

const SECRET = "correct horse battery staple";
const SECRET_BEFORE = "abracadabra";

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

test("takes actions, arguments and the reason for a replacement from the plan", () => {
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
  expect(findingsOf(changes).map(({ kind }) => kind)).toEqual(["replace-machine", "replace-load-balancer"]);
});

test("the page has the reason in words, the address before a move, and the restart for another instance type", () => {
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
  expect(page).toContain("`null_resource.a`: replaced, because an earlier apply did not finish it\n");
  expect(page).toContain("`null_resource.b`: replaced, `a_new_one`\n");
  expect(page).toContain("`aws_lb.c`: without effect, moved from `aws_lb.old`\n");
  expect(page).toContain("`aws_instance.d`: restarted\n");
  expect(page).toContain("**Findings: restart-machine.** 1 restarted, 2 replaced, 1 without effect.");
});

test("lists outputs, and masks those that are or were sensitive", () => {
  const note = "affects only readers of the output";
  const { elsewhere } = readPlan(
    JSON.stringify({
      format_version: "1.2",
      output_changes: {
        unmarked: { actions: ["update"], before: "old", after: SECRET, before_sensitive: true, after_sensitive: false },
        key: { actions: ["create"], before: null, after: SECRET, after_sensitive: true },
        nodes: { actions: ["update"], before: 1, after: null, after_unknown: true },
        old: { actions: ["delete"], before: 1, after: null },
        same: { actions: ["no-op"], before: 1, after: 1 },
      },
    }),
  );
  expect(elsewhere).toEqual([
    { path: "output.unmarked", before: "(sensitive)", after: "(sensitive)", action: "none", note },
    { path: "output.unmarked.sensitive", before: true, after: false, action: "none", note },
    { path: "output.key", before: undefined, after: "(sensitive)", action: "none", note },
    { path: "output.nodes", before: 1, after: "(known after apply)", action: "none", note },
    { path: "output.old", before: 1, after: undefined, action: "none", note },
  ]);
  expect(findingsOf({ resources: [], copies: [], elsewhere })).toEqual([{ kind: "secret", addresses: [] }]);
});

test("a page of very many changes fits a comment and counts the omitted resources", () => {
  const many = Array.from({ length: 1000 }, (_each, index) => ({ address: `aws_lb.number-${index}`, change: UPDATE }));
  const page = renderPage(readPlan(plan(...many)));
  expect(page.length).toBeLessThan(56_000);
  const [, rest] = /and (\d+) more: `--format json` lists all\n\n<\/details>\n$/.exec(page) ?? [];
  expect(page.split(": changed in place").length - 1 + Number(rest)).toBe(1000);
  expect(page).toContain("<details><summary>");
});

test("lists forgotten and imported resources, and values that become unknown in an update", () => {
  const same = { before: { size: 1 }, after: { size: 1 }, after_unknown: {} };
  const changes = readPlan(
    plan(
      { address: "aws_lb.a", change: { ...same, actions: ["forget"], after: null } },
      { address: "aws_lb.b", change: { ...same, actions: ["no-op"], importing: { id: "b" } } },
      { address: "aws_lb.c", change: { ...same, actions: ["create", "forget"] } },
      {
        address: "aws_lb.d",
        change: { actions: ["update"], before: { size: 1 }, after: {}, after_unknown: { size: true } },
      },
    ),
  );
  expect(changes.resources.map(({ address, action, reason }) => [address, action, reason])).toEqual([
    ["aws_lb.a", "forget", undefined],
    ["aws_lb.b", "none", "imported"],
    ["aws_lb.c", "replace", undefined],
    ["aws_lb.d", "update", undefined],
  ]);
  expect(changes.resources.at(-1)?.arguments).toMatchObject([
    { path: "size", before: 1, after: "(known after apply)" },
  ]);
  expect(findingsOf(changes)[1]).toEqual({ kind: "forget", addresses: ["aws_lb.a"] });
});

test("a table of very many copies is cut and counts the omitted rows", () => {
  const copies = Array.from({ length: 100 }, (_each, index) => ({
    address: `null_resource.number-${index}`,
    file: "a.pem",
    change: "added" as const,
  }));
  const page = renderPage({ resources: [], copies, elsewhere: [] });
  expect(page.split("| added |").length - 1).toBe(60);
  expect(page).toContain("and 40 more: `--format json` lists all");
});

test("no value can contain an HTML comment", () => {
  const change = { ...UPDATE, after: { size: "<!-- mine -->" } };
  expect(renderPage(readPlan(plan({ address: "aws_lb.a", change })))).not.toContain("<!--");
});

test("masks values that Terraform marks as sensitive, and values that look like a private key", () => {
  const page = renderPage(
    readPlan(
      plan({
        address: "tls_private_key.a",
        change: {
          actions: ["update"],
          before: { password: SECRET_BEFORE, list: [{ token: SECRET_BEFORE }], pem: "a", unmarked: SECRET_BEFORE },
          after: {
            password: SECRET,
            list: [{ token: SECRET }],
            pem: "-----BEGIN RSA PRIVATE KEY-----",
            unmarked: SECRET,
          },
          after_unknown: {},
          before_sensitive: { password: true, list: [{ token: true }], unmarked: true },
          after_sensitive: { password: true, list: [{ token: true }] },
        },
      }),
    ),
  );
  expect(page).toContain("`password`");
  expect(page).toContain("(sensitive)");
  expect(page).not.toContain(SECRET);
  expect(page).not.toContain(SECRET_BEFORE);
  expect(page).not.toContain("PRIVATE KEY");
});

test.each([
  ["text that is not JSON", "{", "the plan must be JSON from `terraform show -json`"],
  ["another format version", '{"format_version":"2.0"}', `the plan's 'format_version' must be 1.x, got: "2.0"`],
  [
    "a plan that failed",
    '{"format_version":"1.2","errored":true}',
    "the plan must be complete, got one that ended in an error",
  ],
  [
    "an unknown action",
    plan({ address: "aws_lb.a", change: { actions: ["dance"], before: {}, after: {} } }),
    "the plan's actions must be no-op or read or forget or create,forget or create or delete or update or delete,create or create,delete, got for aws_lb.a: dance",
  ],
  ["JSON that is no plan", "[]", "the plan's 'format_version' must be 1.x, got: undefined"],
  ["null", "null", "the plan's 'format_version' must be 1.x, got: undefined"],
])("refuses %s in one line", (_case, text, message) => {
  expect(() => readPlan(text)).toThrow(new UserError(message));
});

describeSuite("real Terraform", () => {
  const terraform = new TerraformFolder();
  afterAll(() => terraform.remove());

  test("reads a plan of real Terraform and masks its secret", async () => {
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
