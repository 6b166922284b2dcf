package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"unicode"
)

// tells are the page's functions that show their text; below them, the tables of which every entry is shown.
var (
	tells = map[string]bool{"say": true, "fail": true, "show": true, "retry": true, "confirm": true, "prompt": true,
		"SessionError": true, "PairingError": true}
	lower = map[string]bool{"why.ts": true, "summary.ts": true}
)

// webSentences finds the sentences of the page's scripts and HTML, in all folders below folder.
func webSentences(root, folder string) ([]found, error) {
	var out []found
	err := filepath.WalkDir(filepath.Join(root, folder), func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		read := htmlFile
		switch filepath.Ext(name) {
		case ".ts":
			read = typeScriptFile
		case ".html":
		default:
			return nil
		}

		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		out = append(out, read(filepath.ToSlash(rel), string(text))...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", folder, err)
	}

	return out, nil
}

func typeScriptFile(name, src string) (out []found) {
	literals, _ := scanTypeScript(src)
	for _, l := range literals {
		text := tidy(l.text, false)
		capital := strings.ContainsFunc(text[:min(1, len(text))], unicode.IsUpper)
		told := tells[strings.TrimPrefix(l.call, "#")] || lower[filepath.Base(name)]
		if words(text) < 2 || !strings.Contains(text, " ") || !capital && !told {
			continue
		}
		out = append(out, found{text, place{name, l.line, l.key}})
	}

	return out
}

var (
	comment = regexp.MustCompile(`(?s)<!--.*?-->|<svg.*?</svg>|<title>.*?</title>`)
	inline  = regexp.MustCompile(`</?(?:b|span class="address"|/span|i|em)(?: [^>]*)?>`)
	tag     = regexp.MustCompile(`<[^>]*>`)
	shown   = regexp.MustCompile(`(?:title|aria-label|placeholder)="([^"]*)"`)
)

// htmlFile finds the texts of elements and of attributes that are shown or read aloud. A text may take several lines.
func htmlFile(name, src string) (out []found) {
	blank := func(s string) string { return strings.Repeat("\n", strings.Count(s, "\n")) }
	src = comment.ReplaceAllStringFunc(src, blank)

	see := func(start, end int) {
		text := tidy(strings.ReplaceAll(src[start:end], "&times;", ""), false)
		if words(text) >= 2 {
			out = append(out, found{text, place{name, 1 + strings.Count(src[:start], "\n"), ""}})
		}
	}
	for _, m := range shown.FindAllStringSubmatchIndex(src, -1) {
		see(m[2], m[3])
	}

	src = inline.ReplaceAllStringFunc(src, func(t string) string {
		if strings.HasPrefix(t, "<b ") {
			return gap + blank(t)
		}
		return blank(t)
	})
	start := 0
	for _, m := range tag.FindAllStringIndex(src, -1) {
		see(start, m[0])
		start = m[1]
	}
	return out
}
