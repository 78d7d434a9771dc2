import { Token } from "cdktf";
import { holds, type Limit, mustBe, wholeNumberFrom } from "../model/formats";

/**
 * Checks a construct's prop that must be known during synthesis, because addresses are computed from it. Refuses tokens.
 * @throws Error with the prop, the allowed values and the value it got
 */
export function assertLiteral(name: string, limit: Limit, value: string): void {
  if (!holds(limit, value)) throw new Error(mustBe(name, limit.allowed, value));
}

/**
 * Checks a construct's prop. Accepts tokens, because only Terraform will know their values.
 * @throws Error with the prop, the allowed values and the value it got
 */
export function assertProp(name: string, limit: Limit, value: string): void {
  if (!Token.isUnresolved(value)) assertLiteral(name, limit, value);
}

/**
 * Checks a construct's prop that is a whole number. Accepts tokens.
 * @throws Error with the prop, the allowed values and the value it got
 */
export function assertWholeNumber(name: string, range: { min: number; max: number }, value: number): void {
  if (!Token.isUnresolved(value)) assertLiteralNumber(name, range, value);
}

/**
 * Checks a construct's prop that is a whole number and must be known during synthesis. Refuses tokens.
 * @throws Error with the prop, the allowed values and the value it got
 */
export function assertLiteralNumber(name: string, range: { min: number; max: number }, value: number): void {
  if (!Number.isInteger(value) || value < range.min || value > range.max) {
    throw new Error(mustBe(name, wholeNumberFrom(range), value));
  }
}
