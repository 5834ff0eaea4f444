package mailsettings

import (
	"embed"
	"net/url"
	"path"
	"strconv"
	"strings"
	"unicode"

	"authferry/proxy"
)

// The ready files are settings/PROGRAM. {name} in one stands for a value; fill lists
// them. A line that begins with @CASE, or with several cases joined by commas, is
// for these cases only: "in" and "out" if there is such a service, "in.imap" and
// "in.pop3" by its protocol, and "in.tls", "in.starttls", "in.plain" and the same of
// "out" by how TLS starts. The files contain no password: programs ask for it, or
// read it from where the file says.
//
//go:embed settings/*
var readyFiles embed.FS

// ReadyFiles returns the programs with ready files.
func ReadyFiles() (ids []string) {
	for _, p := range cardPrograms {
		if p.file != "" {
			ids = append(ids, p.id)
		}
	}
	return ids
}

// fill returns the ready file of a program; false if the address would have to be
// quoted in it.
func (s *cardSubject) fill(id string) (content string, ok bool) {
	if strings.ContainsFunc(s.Address, needsQuoting) {
		return "", false
	}
	template, err := readyFiles.ReadFile(path.Join("settings", id))
	if err != nil {
		panic(err) // the files are built in, and tests fill each
	}
	cases := map[string]bool{}
	pairs := []string{
		"{address}", s.Address, "{escaped}", url.QueryEscape(s.Address),
		"{domain}", domainOf(s.Address),
	}
	for name, service := range map[string]*Service{"in": s.in, "out": s.out} {
		if service == nil {
			continue
		}
		cases[name], cases[name+"."+tlsCase(service.Security)], cases[name+"."+string(service.Protocol)] = true, true, true
		pairs = append(pairs, "{"+name+".host}", service.Host, "{"+name+".port}", strconv.Itoa(service.Port))
	}
	values := strings.NewReplacer(pairs...)
	var b strings.Builder
	for line := range strings.Lines(string(template)) {
		if list, ok := strings.CutPrefix(line, "@"); ok {
			list, line, _ = strings.Cut(list, " ")
			if !allOf(cases, list) {
				continue
			}
		}
		b.WriteString(values.Replace(line))
	}
	return b.String(), true
}

func allOf(cases map[string]bool, list string) bool {
	for name := range strings.SplitSeq(list, ",") {
		if !cases[name] {
			return false
		}
	}
	return true
}

func tlsCase(s proxy.Security) string {
	switch s {
	case proxy.Plain:
		return "plain"
	case proxy.StartTLS:
		return "starttls"
	}
	return "tls"
}

// needsQuoting reports whether a character has a meaning within double quotes in
// any of the files, all of which quote the address so.
func needsQuoting(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(".@!&'*+-/=?^_|~", r)
}
