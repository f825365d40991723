"""Writers: a hub becomes a thing of one framework. No writer sees a reader."""
