import { Token } from "cdktf";
import { holds, type Limit, mustBe, wholeNumberFrom } from "../model/formats";

/**
 * Checks a construct's prop that must be known when the program runs, since addresses are made or computed from it.
 * @throws Error that names the prop, what is allowed and what it got; a token too is refused
 */
export function assertLiteral(name: string, limit: Limit, value: string): void {
  if (!holds(limit, value)) throw new Error(mustBe(name, limit.allowed, value));
}

/**
 * Checks a construct's prop; a token, whose value Terraform alone will know, passes.
 * @throws Error that names the prop, what is allowed and what it got
 */
export function assertProp(name: string, limit: Limit, value: string): void {
  if (!Token.isUnresolved(value)) assertLiteral(name, limit, value);
}

/**
 * Checks a number among a construct's props; a token passes.
 * @throws Error that names the prop, what is allowed and what it got
 */
export function assertWholeNumber(name: string, range: { min: number; max: number }, value: number): void {
  if (!Token.isUnresolved(value)) assertLiteralNumber(name, range, value);
}

/**
 * Checks a number among a construct's props that must be known when the program runs.
 * @throws Error that names the prop, what is allowed and what it got; a token too is refused
 */
export function assertLiteralNumber(name: string, range: { min: number; max: number }, value: number): void {
  if (!Number.isInteger(value) || value < range.min || value > range.max) {
    throw new Error(mustBe(name, wholeNumberFrom(range), value));
  }
}
