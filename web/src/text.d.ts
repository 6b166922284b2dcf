/** A text file of the repository, which esbuild compiles in. */
declare module '*.txt' {
  const text: string;
  export default text;
}
