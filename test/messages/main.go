package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	if err := run(os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "messages:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	fs := flag.NewFlagSet("messages", flag.ContinueOnError)
	write := fs.Bool("write", false, "write doc/messages.md before it is looked at")
	if err := fs.Parse(args); err != nil {
		return err
	}
	root := "."
	if fs.NArg() > 0 {
		root = fs.Arg(0)
	}

	page, wrong, err := examine(root)
	if err != nil {
		return err
	}
	file := filepath.Join(root, "doc", "messages.md")
	if *write {
		if err := os.WriteFile(file, []byte(page), 0o644); err != nil {
			return fmt.Errorf("write table: %w", err)
		}
	}

	was, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read table: %w", err)
	}
	if string(was) != page {
		wrong = append(wrong, "doc/messages.md is out of date: run make messages")
	}

	if len(wrong) > 0 {
		return errors.New(strings.Join(wrong, "\n"))
	}
	return nil
}

// examine reads the module below root. It returns the page with the table, and what is wrong.
func examine(root string) (page string, wrong []string, err error) {
	all, err := sentences(root)
	if err != nil {
		return "", nil, err
	}
	entries, err := readEntries(filepath.Join(root, "test", "messages", "explained"))
	if err != nil {
		return "", nil, err
	}

	tests, err := trials(root)
	if err != nil {
		return "", nil, err
	}
	rows, wrong := judge(all, entries, tests)
	return table(rows), wrong, nil
}

// sentences finds the sentences of all rooms.
func sentences(root string) ([]*sentence, error) {
	var all []found
	for _, r := range rooms {
		read := goSentences
		if strings.HasPrefix(r.folder, "web/") {
			read = webSentences
		}
		more, err := read(root, r.folder)
		if err != nil {
			return nil, err
		}
		if len(more) == 0 {
			return nil, fmt.Errorf("find sentences: %s says nothing: has it moved?", r.folder)
		}
		all = append(all, more...)
	}

	return collect(all), nil
}
