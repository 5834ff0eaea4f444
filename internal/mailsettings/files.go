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

// The ready files are settings/PROGRAM. {name} in one stands for a value, of
// those in fill. A line that begins with @WORD, or several joined by commas, is
// for one of these cases alone: in and out, where there is such a service, and
// in.tls, in.starttls, in.plain and the same of out by how TLS starts there.
// No password is in them: the programs ask for it, or are shown where it is.
//
//go:embed settings/*
var readyFiles embed.FS

// ReadyFiles are the programs there are ready files for.
func ReadyFiles() (ids []string) {
	for _, p := range cardPrograms {
		if p.file != "" {
			ids = append(ids, p.id)
		}
	}
	return ids
}

// fill makes the ready file of a program; false if it would not be safe with
// this address.
func (s *cardSubject) fill(id string) (content string, ok bool) {
	if strings.ContainsFunc(s.Address, needsQuoting) {
		return "", false
	}
	template, err := readyFiles.ReadFile(path.Join("settings", id))
	if err != nil {
		panic(err) // they are built in, and tests fill each
	}
	cases := map[string]bool{}
	pairs := []string{
		"{address}", s.Address, "{escaped}", url.QueryEscape(s.Address),
		"{domain}", domainOf(s.Address),
	}
	for name, service := range map[string]*MailService{"in": s.in, "out": s.out} {
		if service == nil {
			continue
		}
		cases[name], cases[name+"."+tlsCase(service.Security)], cases[name+"."+service.Protocol] = true, true, true
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

// needsQuoting tells characters that mean something between the double quotes
// of one of the files, all of which quote the address so.
func needsQuoting(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(".@!&'*+-/=?^_|~", r)
}
