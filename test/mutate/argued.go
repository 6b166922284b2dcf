package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
)

// readArguments reads the argued survivors, by key. In the file, an argument is indented below its survivor's key, and
// lines that begin with # are comments.
func readArguments(file string) (map[string]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read arguments: %w", err)
	}
	defer f.Close()

	arguments := make(map[string]string)
	var key string
	scan := bufio.NewScanner(f)
	for n := 1; scan.Scan(); n++ {
		line := scan.Text()
		switch text := strings.TrimSpace(line); {
		case text == "" || strings.HasPrefix(line, "#"):
		case line == text:
			if key != "" && arguments[key] == "" {
				return nil, fmt.Errorf("%s:%d: the survivor above has no argument", file, n)
			}
			key = line
		case key == "":
			return nil, fmt.Errorf("%s:%d: an argument without a survivor", file, n)
		default:
			arguments[key] = strings.TrimSpace(arguments[key] + " " + text)
		}
	}

	if key != "" && arguments[key] == "" {
		return nil, fmt.Errorf("%s: the last survivor has no argument", file)
	}
	return arguments, scan.Err()
}
