// Makes text that somebody else chose safe to show: camera names, what the other end says when it refuses or complains,
// and a relay's error messages. Go's package printable does the same; printable/testdata/cases.json tests both.

const maxName = 64;
const maxText = 300;

// Anything but a letter, mark, digit, punctuation, symbol or plain space, which excludes all control and bidirectional
// characters; and whatever has no visible shape.
const unfit =
  /[^\p{L}\p{M}\p{N}\p{P}\p{S} ]|(?!\p{Variation_Selector})\p{Default_Ignorable_Code_Point}|\u2800|\ufffd/gu;

const question = (c: string): string => (c === '\n' || c === '\t' ? c : '?');

const clip = (s: string, most: number): string => [...s].slice(0, most).join('').replace(unfit, '?');

/** Returns a name on one line, of at most 64 characters, without spaces around it. It may be empty. */
export const printableName = (s: string): string => clip(s, maxName).replace(/^ +| +$/g, '');

/** Returns a sentence on one line, of at most 300 characters. */
export const printableText = (s: string): string => clip(s, maxText);

/** Returns a text of any length, keeping its line breaks and tabs. */
export const printableLines = (s: string): string => s.replace(unfit, question);
