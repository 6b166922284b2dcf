// Figures counts how the source reads: how long functions are, how much air they have, how wide lines are, and how many
// arrows of the import graphs run against the others. It measures the tree in a folder and prints tables; it judges
// nothing. scripts/figures.sh runs it on any commit.
//
//	go run ./test/figures [FOLDER]
package main

import (
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	root := "."
	if len(os.Args) > 1 {
		root = os.Args[1]
	}
	if err := run(os.Stdout, root); err != nil {
		fmt.Fprintln(os.Stderr, "figures:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, root string) error {
	files, err := readSource(root)
	if err != nil {
		return err
	}

	fmt.Fprint(w, codeHeader)
	for _, kind := range []kind{product, tests, web} {
		fmt.Fprintln(w, measureCode(files, kind))
	}

	session, err := referenceGraph(root, "session")
	if err != nil {
		return err
	}
	packages := packageGraph(files)
	graphs := []namedGraph{
		{"Go, top-level folders", folderGraph(packages)},
		{"Go, packages", packages},
		{"session/, files of the root package", session},
		{"session/, with the packages under it", below(packages, "session")},
		{"TypeScript, files", scriptGraph(files)},
	}

	fmt.Fprint(w, "\n", graphHeader)
	for _, g := range graphs {
		fmt.Fprintln(w, g)
	}
	fmt.Fprintln(w)
	for _, g := range graphs {
		for _, c := range g.circles() {
			fmt.Fprintf(w, "circle in %s: %s\n", g.name, strings.Join(c, " "))
		}
	}
	return nil
}
