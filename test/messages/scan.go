package main

import (
	"strings"
	"unicode"
)

// literal is a string in TypeScript or JavaScript, and what precedes it.
type literal struct {
	text  string // with a gap for each ${…}; concatenated strings are one
	line  int
	call  string // the name before the innermost bracket that is open around it
	key   string // of an object literal, if the string is its value
	title string // the first argument of the enclosing call of test, if any
}

// scanner reads TypeScript just well enough to find its strings: it knows comments, regular expressions and templates;
// the rest is names and symbols.
type scanner struct {
	src   []rune
	at    int
	line  int
	calls []string // the names before the brackets that are open
	name  string   // the last name, while only a bracket has followed
	last  rune     // the last symbol that was not a space
	title string
	out   []literal
	// fields are the fields that are read, with the name before the dot: "sentences.lost".
	fields []string
}

func scanTypeScript(src string) (literals []literal, fields []string) {
	s := &scanner{src: []rune(src), line: 1}
	s.code(false)
	return s.out, s.fields
}

func (s *scanner) peek(n int) rune {
	if s.at+n < len(s.src) {
		return s.src[s.at+n]
	}
	return 0
}

// code reads until the end or, within a template, until the bracket that closes its ${.
func (s *scanner) code(inTemplate bool) {
	depth := 0
	for s.at < len(s.src) {
		c := s.src[s.at]
		switch {
		case c == '/' && s.peek(1) == '/':
			s.skipTo("\n")
			continue
		case c == '/' && s.peek(1) == '*':
			s.skipTo("*/")
			s.at += 2
			continue
		case c == '/' && s.regexp():
			s.add(s.quoted('/'), true)
			continue
		case c == '\'' || c == '"':
			s.add(s.quoted(c), false)
			continue
		case c == '`':
			s.add(s.template(), false)
			continue
		case unicode.IsLetter(c) || c == '_' || c == '$' || c == '#':
			s.word()
			continue
		case c == '(' || c == '[' || c == '{':
			s.calls = append(s.calls, s.name)
			depth++
		case c == ')' || c == ']' || c == '}':
			if depth == 0 && inTemplate {
				return
			}
			depth--
			if n := len(s.calls); n > 0 {
				s.calls = s.calls[:n-1]
			}
		case c == '\n':
			s.line++
		}

		if !unicode.IsSpace(c) {
			s.last = c
			if c != ':' && c != '.' && c != '?' {
				s.name = ""
			}
		}
		s.at++
	}
}

func (s *scanner) word() {
	from := s.at
	for s.at < len(s.src) && (unicode.IsLetter(s.src[s.at]) || unicode.IsDigit(s.src[s.at]) ||
		strings.ContainsRune("_$#", s.src[s.at])) {
		s.at++
	}

	name := string(s.src[from:s.at])
	if s.last == '.' && s.name != "" {
		s.fields = append(s.fields, s.name+"."+name)
	}
	s.name, s.last = name, 'a'
}

// regexp reports whether a slash begins a regular expression: a division follows a value.
func (s *scanner) regexp() bool {
	return s.last == 0 || strings.ContainsRune("(,=:[!&|?{};>", s.last) || s.last == 'a' && s.name == "return"
}

func (s *scanner) skipTo(end string) {
	for s.at < len(s.src) && !strings.HasPrefix(string(s.src[s.at:min(s.at+len(end), len(s.src))]), end) {
		if s.src[s.at] == '\n' {
			s.line++
		}
		s.at++
	}
}

// quoted reads a string in quotes, or a regular expression.
func (s *scanner) quoted(quote rune) string {
	var b strings.Builder
	class := false
	for s.at++; s.at < len(s.src) && s.src[s.at] != '\n'; s.at++ {
		c := s.src[s.at]
		switch {
		case c == '\\':
			s.at++
			b.WriteString(escaped(s.peek(0)))
			continue
		case quote == '/' && c == '[':
			class = true
		case quote == '/' && c == ']':
			class = false
		case c == quote && !class:
			s.at++
			return b.String()
		}
		b.WriteRune(c)
	}

	return b.String()
}

func escaped(c rune) string {
	switch c {
	case 'n', 't', 'r':
		return " "
	}
	return string(c)
}

// template reads a template, and the code within it.
func (s *scanner) template() string {
	var b strings.Builder
	for s.at++; s.at < len(s.src); s.at++ {
		switch c := s.src[s.at]; {
		case c == '`':
			s.at++
			return b.String()
		case c == '\\':
			s.at++
			b.WriteString(escaped(s.peek(0)))
		case c == '$' && s.peek(1) == '{':
			s.at += 2
			name, last := s.name, s.last
			s.name, s.last = "", '('
			s.code(true)
			s.name, s.last = name, last
			b.WriteString(gap)
		default:
			if c == '\n' {
				s.line++
			}
			b.WriteRune(c)
		}
	}

	return b.String()
}

// add records a string; after a plus it continues the previous one.
func (s *scanner) add(text string, pattern bool) {
	defer func() { s.last, s.name = '"', "" }()
	if n := len(s.out); s.last == '+' && n > 0 && !pattern {
		s.out[n-1].text += text
		return
	}

	l := literal{text: text, line: s.line}
	if s.last == ':' {
		l.key = s.name
	}
	if n := len(s.calls); n > 0 {
		l.call = s.calls[n-1]
	}

	if (l.call == "test" || l.call == "it" || l.call == "describe") && s.last == '(' {
		s.title = text
	}
	l.title = s.title
	s.out = append(s.out, l)
}
