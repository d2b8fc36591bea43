# breaks: file
import methods


class Broken(methods.LossMethod):
    def objective(self, losses):
        return losses.pow(3).sum()
