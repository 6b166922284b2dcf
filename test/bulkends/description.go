package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// tell prints what the other end must know, as one line, which the test takes there.
func tell(description any) error {
	line, err := json.Marshal(description)
	if err != nil {
		return fmt.Errorf("describe this end: %w", err)
	}
	fmt.Println(string(line))
	return nil
}

// hear waits for the line that the other end has printed.
func hear(ctx context.Context, description any) error {
	type input struct {
		line []byte
		err  error
	}
	came := make(chan input, 1)
	go func() { // until the line comes, or the process ends
		line, err := bufio.NewReader(os.Stdin).ReadBytes('\n')
		came <- input{line, err}
	}()

	select {
	case in := <-came:
		if in.err != nil && in.err != io.EOF {
			return fmt.Errorf("hear of other end: %w", in.err)
		}
		if err := json.Unmarshal(in.line, description); err != nil {
			return fmt.Errorf("hear of other end: %w", err)
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
