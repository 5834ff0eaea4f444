package console

import (
	"strings"

	"authferry/internal/config/document"
)

func (c *Console) mountConfiguration() {
	c.handle("GET /configuration", administrators, (*visit).configurationPage)
}

// settingGroup is a table of the configuration.
type settingGroup struct {
	Table    string
	Settings []document.Setting
}

// configurationPage shows the configuration, and where each value comes from.
// It is changed in its file, where comments and history are.
func (v *visit) configurationPage() error {
	file, settings := v.Settings()
	var groups []settingGroup
	index := map[string]int{}
	for _, s := range settings {
		table := ""
		if i := strings.LastIndexByte(s.Key, '.'); i >= 0 {
			table = s.Key[:i]
		}
		i, known := index[table]
		if !known {
			i = len(groups)
			index[table] = i
			groups = append(groups, settingGroup{Table: table})
		}
		s.Key = strings.TrimPrefix(s.Key, table+".")
		groups[i].Settings = append(groups[i].Settings, s)
	}
	return v.show("configuration", struct {
		File   string
		Groups []settingGroup
	}{file, groups})
}

// textKey makes a name of something a key of texts.
func textKey(name string) string { return strings.ReplaceAll(strings.ToLower(name), " ", "-") }
