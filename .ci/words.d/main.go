//go:build ignore

// Command main finds phrases in files and prints a line for each:
//
//	PART FILE:LINE: WORDS -> WHAT TO USE INSTEAD
//
// Usage: main LIST < FILES. LIST has a regular expression and the words to use
// instead on each line, separated by a tab; a space in the expression stands for
// any white space. FILES are names, one per line. PART is comments for a comment
// of a Go file, and text for the rest: string literals of Go files that are not
// tests, and all of any other file.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"go/scanner"
	"go/token"
	"log"
	"os"
	"regexp"
	"strings"
)

type phrase struct {
	pattern *regexp.Regexp
	instead string
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("words: ")
	if len(os.Args) != 2 {
		log.Fatal("usage: main LIST < FILES")
	}
	phrases, err := readPhrases(os.Args[1])
	if err != nil {
		log.Fatalf("reading the list of phrases: %v", err)
	}
	files := bufio.NewScanner(os.Stdin)
	for files.Scan() {
		if err := search(files.Text(), phrases); err != nil {
			log.Fatalf("searching %s: %v", files.Text(), err)
		}
	}
	if err := files.Err(); err != nil {
		log.Fatalf("reading the names of files: %v", err)
	}
}

func readPhrases(file string) ([]phrase, error) {
	list, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var all []phrase
	for line := range strings.Lines(string(list)) {
		pattern, instead, found := strings.Cut(strings.TrimSpace(line), "\t")
		if !found {
			return nil, fmt.Errorf("no tab in %q", line)
		}
		re, err := regexp.Compile(`(?i)\b(?:` + strings.ReplaceAll(pattern, " ", `\s+`) + `)\b`)
		if err != nil {
			return nil, err
		}
		all = append(all, phrase{re, instead})
	}
	return all, nil
}

func search(file string, phrases []phrase) error {
	source, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if !strings.HasSuffix(file, ".go") {
		report("text", file, lineStart.ReplaceAllFunc(source, blank), phrases)
		return nil
	}
	comments, literals, err := split(source)
	if err != nil {
		return err
	}
	report("comments", file, comments, phrases)
	if !strings.HasSuffix(file, "_test.go") {
		report("text", file, literals, phrases)
	}
	return nil
}

func report(part, file string, text []byte, phrases []phrase) {
	for _, p := range phrases {
		for _, at := range p.pattern.FindAllIndex(text, -1) {
			line := 1 + bytes.Count(text[:at[0]], []byte("\n"))
			fmt.Printf("%s %s:%d: %s -> %s\n", part, file, line, bytes.Join(bytes.Fields(text[at[0]:at[1]]), []byte(" ")), p.instead)
		}
	}
}

// lineStart matches the marks of a comment in TOML or YAML and of a quotation in
// Markdown: a phrase may go on behind them.
var lineStart = regexp.MustCompile(`(?m)^[ \t]*[#>]+`)

func blank(b []byte) []byte { return bytes.Repeat([]byte(" "), len(b)) }

// split returns two copies of a Go file: one has only the comments, the other
// only the string literals. The rest is zeros, which no phrase extends over,
// except for white space and the marks between two lines of one text: // and " +.
func split(source []byte) (comments, literals []byte, err error) {
	comments, literals = hide(source), hide(source)
	var errs scanner.ErrorList
	var s scanner.Scanner
	files := token.NewFileSet()
	file := files.AddFile("", files.Base(), len(source))
	s.Init(file, source, errs.Add, scanner.ScanComments)
	for {
		pos, kind, text := s.Scan()
		if kind == token.EOF {
			return comments, literals, errs.Err()
		}
		begin := file.Offset(pos)
		switch kind {
		case token.COMMENT:
			copy(comments[begin:], "  "+text[len("//"):])
		case token.STRING:
			copy(literals[begin:], " "+plain(text[1:len(text)-1], text[0] == '"')+" ")
		case token.ADD:
			literals[begin] = ' '
		}
	}
}

// hide returns as many zeros as there are bytes, with white space kept.
func hide(source []byte) []byte {
	hidden := make([]byte, len(source))
	for i, b := range source {
		if b == ' ' || b == '\t' || b == '\n' {
			hidden[i] = b
		}
	}
	return hidden
}

var escape = regexp.MustCompile(`\\.`)

// plain blanks the escapes of a literal: the n of \n is no part of a word.
func plain(literal string, escapes bool) string {
	if !escapes {
		return literal
	}
	return escape.ReplaceAllString(literal, "  ")
}
