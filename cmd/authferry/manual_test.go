package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The manual is generated from the help texts and config.example.toml, so that it
// cannot differ from them. Packages are built with
//
//	go test ./cmd/authferry -run '^TestManual$' -manual DIRECTORY -manual-date 2026-11-21
//
// It is in a test because the program has no use for it.
var (
	manualDir  = flag.String("manual", "", "write the manual pages into this `DIRECTORY`")
	manualDate = flag.String("manual-date", time.Now().UTC().Format(time.DateOnly), "the `DATE` on the manual pages")
)

func TestManual(t *testing.T) {
	dir := *manualDir
	if dir == "" {
		dir = t.TempDir()
	}
	pages := map[string]string{"authferry.toml.5": configPage(t)}
	root := program()
	root.InitDefaultCompletionCmd()
	addPages(pages, root)
	for _, name := range []string{"authferry.1", "authferry-serve.1", "authferry-password-add.1", "authferry-completion-bash.1"} {
		if pages[name] == "" {
			t.Errorf("there is no page %s", name)
		}
	}
	for name, page := range pages {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := exec.LookPath("man"); err != nil {
			continue
		}
		cmd := exec.Command("man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", filepath.Join(dir, name))
		cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MANROFFSEQ=")
		var complaints strings.Builder
		cmd.Stderr = &complaints
		if err := cmd.Run(); err != nil || complaints.Len() > 0 {
			t.Errorf("%s: %v %s", name, err, complaints.String())
		}
	}
	page := pages["authferry-password-add.1"]
	for _, want := range []string{".TH AUTHFERRY-PASSWORD-ADD 1", "authferry\\-password\\-add \\- ", ".SH OPTIONS\n", "\\fB\\-\\-name\\fP \\fI", ".BR authferry\\-password (1)"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
	if !strings.Contains(pages["authferry.toml.5"], "\nprovider.gmail.client_id = ") {
		t.Error("config.example.toml is not in authferry.toml.5")
	}
}

// addPages writes a page for a command and for those below it.
func addPages(pages map[string]string, cmd *cobra.Command) {
	if !cmd.IsAvailableCommand() && cmd.HasParent() {
		return
	}
	pages[pageName(cmd)+".1"] = commandPage(cmd)
	for _, sub := range cmd.Commands() {
		addPages(pages, sub)
	}
}

func pageName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// roffText escapes text for troff: a backslash, a hyphen, and a period or an apostrophe
// at the beginning of a line.
func roffText(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	return regexp.MustCompile(`(?m)^([.'])`).ReplaceAllString(text, `\&$1`)
}

// roffPreformatted keeps lines as they are.
func roffPreformatted(text string) string {
	return ".nf\n" + roffText(strings.TrimRight(text, "\n")) + "\n.fi\n"
}

// roffParagraphs fills paragraphs, and leaves those that are indented or lists.
func roffParagraphs(text string) string {
	var b strings.Builder
	for paragraph := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		b.WriteString(".PP\n")
		if strings.Contains("\n"+paragraph, "\n ") || strings.Contains(paragraph, "   ") {
			b.WriteString(roffPreformatted(paragraph))
		} else {
			b.WriteString(roffText(paragraph) + "\n")
		}
	}
	return b.String()
}

func pageTitle(name, section, about string) string {
	return fmt.Sprintf(".TH %s %s %s authferry \"authferry manual\"\n.SH NAME\n%s \\- %s\n",
		strings.ToUpper(name), section, *manualDate, roffText(name), roffText(about))
}

func commandPage(cmd *cobra.Command) string {
	var b strings.Builder
	b.WriteString(pageTitle(pageName(cmd), "1", cmd.Short))
	use := cmd.UseLine()
	if cmd.HasAvailableSubCommands() {
		use = cmd.CommandPath() + " COMMAND [flags]"
	}
	b.WriteString(".SH SYNOPSIS\n.B " + roffText(use) + "\n")
	about := cmd.Long
	if about == "" {
		about = cmd.Short + "."
	}
	b.WriteString(".SH DESCRIPTION\n" + roffParagraphs(about))
	if cmd.HasAvailableSubCommands() {
		b.WriteString(".SH COMMANDS\n")
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				fmt.Fprintf(&b, ".TP\n.BR %s (1)\n%s\n", roffText(pageName(sub)), roffText(sub.Short))
			}
		}
	}
	var options strings.Builder
	describe := func(f *pflag.Flag) {
		if !f.Hidden {
			options.WriteString(optionEntry(f))
		}
	}
	cmd.NonInheritedFlags().VisitAll(describe)
	cmd.InheritedFlags().VisitAll(describe)
	if options.Len() > 0 {
		b.WriteString(".SH OPTIONS\n" + options.String())
	}
	b.WriteString(".SH EXIT STATUS\n0 done, 1 failed, 2 the command line or the configuration is wrong.\n")
	if cmd.Example != "" {
		b.WriteString(".SH EXAMPLES\n" + roffPreformatted(cmd.Example))
	}
	b.WriteString(".SH SEE ALSO\n")
	if cmd.HasParent() {
		fmt.Fprintf(&b, ".BR %s (1),\n", roffText(pageName(cmd.Parent())))
	}
	b.WriteString(".BR authferry.toml (5)\n")
	return b.String()
}

func optionEntry(f *pflag.Flag) string {
	value, usage := pflag.UnquoteUsage(f)
	var b strings.Builder
	b.WriteString(".TP\n")
	if f.Shorthand != "" {
		fmt.Fprintf(&b, "\\fB\\-%s\\fP, ", f.Shorthand)
	}
	fmt.Fprintf(&b, "\\fB\\-\\-%s\\fP", roffText(f.Name))
	if value != "" {
		fmt.Fprintf(&b, " \\fI%s\\fP", roffText(value))
	}
	b.WriteString("\n" + roffText(usage))
	if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" && f.DefValue != "0" && f.DefValue != "0s" {
		fmt.Fprintf(&b, " (default %s)", roffText(f.DefValue))
	}
	b.WriteString("\n")
	return b.String()
}

// configPage returns config.example.toml as a page: its comments as text, every key as
// it is written.
func configPage(t *testing.T) string {
	t.Helper()
	source, err := os.ReadFile("../../config.example.toml")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString(pageTitle("authferry.toml", "5", "configuration of authferry"))
	b.WriteString(".SH SYNOPSIS\n.I /etc/authferry/config.toml\n.SH DESCRIPTION\n")
	shown := regexp.MustCompile(`^# {0,2}([a-z0-9_.]+ *=.*|\[.*)`)
	preformatted := false
	for line := range strings.Lines(string(source)) {
		line = strings.TrimRight(line, "\n")
		m := shown.FindStringSubmatch(line)
		if !strings.HasPrefix(line, "# ") && m == nil {
			m = []string{line, line}
		}
		comment := strings.TrimPrefix(line, "# ")
		keep := m != nil && line != "" || strings.HasPrefix(comment, " ")
		if keep {
			if m != nil {
				comment = m[1]
			}
		}
		switch {
		case line == "":
			b.WriteString(endPreformatted(&preformatted) + ".PP\n")
		case keep && !preformatted:
			preformatted = true
			b.WriteString(".RS 4\n.nf\n" + roffText(comment) + "\n")
		case keep:
			b.WriteString(roffText(comment) + "\n")
		default:
			b.WriteString(endPreformatted(&preformatted) + roffText(comment) + "\n")
		}
	}
	b.WriteString(endPreformatted(&preformatted) + ".SH SEE ALSO\n.BR authferry (1)\n")
	return b.String()
}

func endPreformatted(preformatted *bool) string {
	if !*preformatted {
		return ""
	}
	*preformatted = false
	return ".fi\n.RE\n"
}
